import type { CapsuleState } from "@wrenn/contracts";
import type { HostStatus } from "@wrenn/contracts/rest";
import type { Kysely } from "kysely";
import type { Schema } from "../database/schema.ts";
import { isSilent } from "../hosts/store.ts";
import { statusOf } from "../hosts/wire.ts";

/** How many capsules are in each of these states. */
export async function capsulesByState(
  db: Kysely<Schema>,
  states: readonly CapsuleState[],
): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom("capsules")
    .select((eb) => ["state", eb.fn.countAll<bigint>().as("count")])
    .where("state", "in", states)
    .groupBy("state")
    .execute();
  const counts = new Map<string, number>(states.map((state) => [state, 0]));
  for (const { state, count } of rows) counts.set(state, Number(count));
  return counts;
}

export async function hostsByStatus(
  db: Kysely<Schema>,
  statuses: readonly HostStatus[],
): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom("hosts")
    .select(["registered_at", isSilent.as("silent")])
    .execute();
  const counts = new Map<string, number>(statuses.map((status) => [status, 0]));
  for (const row of rows) {
    const status = statusOf(row);
    counts.set(status, (counts.get(status) ?? 0) + 1);
  }
  return counts;
}
