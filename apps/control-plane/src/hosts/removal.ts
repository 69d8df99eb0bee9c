import { type Kysely, sql, type Transaction } from "kysely";
import { isOnHost } from "../capsules/on-host.ts";
import type { Schema } from "../database/schema.ts";

/** What is on a host, and keeps it from being removed. */
export interface InTheWay {
  capsules: number;
  snapshots: number;
}

/**
 * Removes a host on which nothing is. The rows of its capsules that have ended stay.
 *
 * @returns what is in the way; undefined when the host is gone.
 */
export async function removeHost(db: Kysely<Schema>, id: string): Promise<InTheWay | undefined> {
  return db.transaction().execute(async (transaction) => {
    await holdHost(transaction, id);
    const inTheWay = {
      capsules: await capsulesOn(transaction, id),
      snapshots: await snapshotsOn(transaction, id),
    };
    if (inTheWay.capsules > 0 || inTheWay.snapshots > 0) return inTheWay;
    await forgetHost(transaction, id);
    return undefined;
  });
}

/** Removes a host that will not come back, with all that is on it. Its capsules are stopped for that reason. */
export async function abandonHost(db: Kysely<Schema>, id: string): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    await holdHost(transaction, id);
    await transaction
      .updateTable("capsules")
      .set({
        state: "stopped",
        reason: "host_removed",
        detail: null,
        operated_by: null,
        updated_at: sql`now()`,
      })
      .where("host_id", "=", id)
      .where(isOnHost)
      .execute();
    await transaction.deleteFrom("snapshots").where("host_id", "=", id).execute();
    await forgetHost(transaction, id);
  });
}

/** Nothing is placed on it from now on: the row of what is on a host needs the lock of its host's. */
async function holdHost(transaction: Transaction<Schema>, id: string): Promise<void> {
  await transaction.selectFrom("hosts").select("id").where("id", "=", id).forUpdate().execute();
}

async function capsulesOn(transaction: Transaction<Schema>, id: string): Promise<number> {
  const { count } = await transaction
    .selectFrom("capsules")
    .select((eb) => eb.fn.countAll<bigint>().as("count"))
    .where("host_id", "=", id)
    .where(isOnHost)
    .executeTakeFirstOrThrow();
  return Number(count);
}

async function snapshotsOn(transaction: Transaction<Schema>, id: string): Promise<number> {
  const { count } = await transaction
    .selectFrom("snapshots")
    .select((eb) => eb.fn.countAll<bigint>().as("count"))
    .where("host_id", "=", id)
    .executeTakeFirstOrThrow();
  return Number(count);
}

async function forgetHost(transaction: Transaction<Schema>, id: string): Promise<void> {
  await transaction.updateTable("capsules").set({ host_id: null }).where("host_id", "=", id).execute();
  await transaction.deleteFrom("hosts").where("id", "=", id).execute();
}
