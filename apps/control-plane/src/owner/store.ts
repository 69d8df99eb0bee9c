import { newId } from "@wrenn/contracts";
import { type Kysely, sql, type Transaction } from "kysely";
import { advisoryLocks } from "../database/locks.ts";
import type { Schema } from "../database/schema.ts";

export interface Owner {
  userId: string;
  teamId: string;
  email: string;
}

/** Runs work on the owner's account while no other replica does. */
export async function withOwnerLock<T>(
  db: Kysely<Schema>,
  work: (transaction: Transaction<Schema>) => Promise<T>,
): Promise<T> {
  return db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${advisoryLocks.owner})`.execute(transaction);
    return work(transaction);
  });
}

/** The first owner there was. */
export async function findOwner(db: Kysely<Schema>): Promise<Owner | undefined> {
  return db
    .selectFrom("team_members")
    .innerJoin("users", "users.id", "team_members.user_id")
    .select(["users.id as userId", "team_members.team_id as teamId", "users.email"])
    .where("team_members.role", "=", "owner")
    .orderBy("team_members.created_at")
    .orderBy("users.id")
    .executeTakeFirst();
}

export async function insertOwner(
  db: Kysely<Schema>,
  account: { email: string; passwordHash: string; teamName: string },
): Promise<Owner> {
  const owner = { userId: newId("user"), teamId: newId("team"), email: account.email };
  await db
    .insertInto("users")
    .values({ id: owner.userId, email: account.email, password_hash: account.passwordHash })
    .execute();
  await db.insertInto("teams").values({ id: owner.teamId, name: account.teamName, platform: true }).execute();
  await db
    .insertInto("team_members")
    .values({ team_id: owner.teamId, user_id: owner.userId, role: "owner" })
    .execute();
  return owner;
}
