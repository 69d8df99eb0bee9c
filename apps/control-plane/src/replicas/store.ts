import { type Kysely, sql } from "kysely";
import type { Schema } from "../database/schema.ts";

/** A control plane that has not been heard of for so long is dead, or as good as: its operations are nobody's. */
export const aliveSec = 12;

/** Whether the control plane named by a column lives. */
export function isAlive(column: string) {
  return sql<boolean>`exists (select from control_planes where control_planes.id = ${sql.ref(column)}
    and control_planes.seen_at > now() - make_interval(secs => ${sql.lit(aliveSec)}))`;
}

/** Notes that a control plane lives. */
export async function noteAlive(db: Kysely<Schema>, id: string): Promise<void> {
  await db
    .insertInto("control_planes")
    .values({ id })
    .onConflict((conflict) => conflict.column("id").doUpdateSet({ seen_at: sql<Date>`now()` }))
    .execute();
}

/** Notes that a control plane has ended, and forgets those that died long ago. */
export async function noteEnded(db: Kysely<Schema>, id: string): Promise<void> {
  await db
    .deleteFrom("control_planes")
    .where((eb) => eb.or([eb("id", "=", id), sql<boolean>`seen_at < now() - interval '1 day'`]))
    .execute();
}
