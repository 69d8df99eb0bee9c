import { newId } from "@wrenn/contracts";
import { type Kysely, sql } from "kysely";
import type { HostRow, Schema } from "../database/schema.ts";

/**
 * Notes the address of the one host there is, and makes its row the first time. The row stays the same when the
 * address changes: its capsules are still on it.
 */
export async function registerHost(db: Kysely<Schema>, address: string): Promise<HostRow> {
  return db.transaction().execute(async (transaction) => {
    // Replicas that start together would both find no row.
    await sql`lock table hosts in share row exclusive mode`.execute(transaction);
    const known = await transaction
      .updateTable("hosts")
      .set({ address, updated_at: sql`now()` })
      .returningAll()
      .executeTakeFirst();
    if (known) return known;
    return transaction
      .insertInto("hosts")
      .values({ id: newId("host"), address })
      .returningAll()
      .executeTakeFirstOrThrow();
  });
}
