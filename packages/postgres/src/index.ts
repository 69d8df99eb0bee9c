export {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from "./embedded-postgres.ts";
export { embeddedPostgresVersion, postgresVersion } from "./probe.ts";
