import { capsuleStates } from "@wrenn/contracts";
import { hostStatuses } from "@wrenn/contracts/rest";
import { type Kysely, sql } from "kysely";
import type { Schema } from "../database/schema.ts";
import { isSilent } from "../hosts/store.ts";
import { statusOf } from "../hosts/wire.ts";

const liveStates = capsuleStates.filter((state) => state !== "stopped" && state !== "error");

/** How many capsules are in each state, of those that have not ended. Ended ones pile up; nothing counts them. */
export async function capsulesByState(db: Kysely<Schema>): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom("capsules")
    .select((eb) => ["state", eb.fn.countAll<bigint>().as("count")])
    // As the partial index of live capsules says it.
    .where(sql<boolean>`state not in ('stopped', 'error')`)
    .groupBy("state")
    .execute();
  const counts = new Map<string, number>(liveStates.map((state) => [state, 0]));
  for (const { state, count } of rows) counts.set(state, Number(count));
  return counts;
}

export async function hostsByStatus(db: Kysely<Schema>): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom("hosts")
    .select(["registered_at", isSilent.as("silent")])
    .execute();
  const counts = new Map<string, number>(hostStatuses.map((status) => [status, 0]));
  for (const row of rows) {
    const status = statusOf(row);
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  return counts;
}
