import { type Finding, WrennError } from "@wrenn/contracts";
import { embeddedPostgresVersion, postgresVersion } from "@wrenn/postgres";
import type { CheckContext } from "../check.ts";

/** The oldest PostgreSQL that the platform is tested with. */
const oldestMajor = 14;

/** The operator's PostgreSQL when there is one, otherwise the one that npm installed. */
export async function checkDatabase({
  config,
  signal,
}: Pick<CheckContext, "config" | "signal">): Promise<Finding> {
  const name = "database";
  const url = config.databaseUrl;
  try {
    const version = url ? await postgresVersion(url, signal) : await embeddedPostgresVersion(signal);
    if (version === undefined) return { name, status: "ok", detail: "PostgreSQL, carried by this program" };
    const detail = `PostgreSQL ${version}${url ? ", at DATABASE_URL" : ", our own"}`;
    if (Number.parseInt(version, 10) >= oldestMajor) return { name, status: "ok", detail };
    return { name, status: "warning", detail, cure: `PostgreSQL ${oldestMajor} or newer is what is tested` };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof WrennError)) throw error;
    const cure = url
      ? "mend DATABASE_URL, or unset it: then the platform runs a PostgreSQL of its own"
      : "or set DATABASE_URL to a PostgreSQL of your own";
    return { name, status: "failing", detail: error.message, cure };
  }
}
