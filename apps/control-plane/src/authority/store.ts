import { type Kysely, sql, type Transaction } from "kysely";
import { advisoryLocks } from "../database/locks.ts";
import type { Schema } from "../database/schema.ts";

export interface SealedAuthority {
  certificatePem: string;
  sealedKey: Buffer;
}

/** Runs work on the platform's authority while no other replica does. */
export async function withAuthorityLock<T>(
  db: Kysely<Schema>,
  work: (transaction: Transaction<Schema>) => Promise<T>,
): Promise<T> {
  return db.transaction().execute(async (transaction) => {
    await sql`select pg_advisory_xact_lock(${advisoryLocks.authority})`.execute(transaction);
    return work(transaction);
  });
}

export async function findAuthority(db: Kysely<Schema>): Promise<SealedAuthority | undefined> {
  return db
    .selectFrom("platform_authority")
    .select(["certificate_pem as certificatePem", "sealed_key as sealedKey"])
    .executeTakeFirst();
}

export async function insertAuthority(db: Kysely<Schema>, authority: SealedAuthority): Promise<void> {
  await db
    .insertInto("platform_authority")
    .values({ certificate_pem: authority.certificatePem, sealed_key: authority.sealedKey })
    .execute();
}
