import { sql } from "kysely";

/** True of a capsule of which its host has, or should have, something: a disk, if nothing else. */
export const isOnHost = sql<boolean>`(capsules.state not in ('stopped', 'error') or (capsules.state = 'error'
  and capsules.started_at is not null and capsules.reason is distinct from 'lost'))`;
