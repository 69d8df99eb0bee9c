import { capsuleStates, type ErrorCode, newId, WrennError } from "@wrenn/contracts";
import type { HostReportBody } from "@wrenn/contracts/rest";
import { type Kysely, sql, type Transaction } from "kysely";
import type { HostRow, Schema } from "../database/schema.ts";
import { registrationHours } from "./tokens.ts";

/** Without a report for so long a host is not reachable, and nobody knows what its capsules do. */
export const silentAfterSec = 90;

/** So many hosts are asked in turn for a place; where all of those are full, the others are as good as. */
const maxCandidates = 16;

/** True of a host that has not reported for a while. */
export const isSilent = sql<boolean>`coalesce(hosts.last_report_at < now() - make_interval(secs => ${sql.lit(silentAfterSec)}), true)`;

export type KnownHost = HostRow & { silent: boolean };

/** What a host says of itself, when it registers and with every report. */
export type HostSpecs = Pick<
  HostReportBody,
  "address" | "arch" | "cpu_cores" | "memory_mb" | "disk_gb" | "agent_version"
>;

const endedStates = capsuleStates.filter((state) => state === "stopped" || state === "error");
const liveOnHost = sql<bigint>`(select count(*) from capsules where capsules.host_id = hosts.id
  and capsules.state not in (${sql.join(endedStates.map((state) => sql.lit(state)))}))`;

export async function insertHost(db: Kysely<Schema>, type: "regular"): Promise<KnownHost> {
  const row = await db
    .insertInto("hosts")
    .values({ id: newId("host"), type })
    .returningAll()
    .executeTakeFirstOrThrow();
  return { ...row, silent: true };
}

export async function findHost(db: Kysely<Schema>, id: string): Promise<KnownHost | undefined> {
  return hosts(db).where("hosts.id", "=", id).executeTakeFirst();
}

/** Oldest first. */
export async function listHosts(db: Kysely<Schema>): Promise<KnownHost[]> {
  return hosts(db).orderBy("hosts.created_at").orderBy("hosts.id").execute();
}

/** The host that a token is of. */
export async function findHostByToken(db: Kysely<Schema>, hash: Buffer): Promise<KnownHost | undefined> {
  return hosts(db).where("hosts.token_hash", "=", hash).executeTakeFirst();
}

/** Those that can take a capsule, the one with the fewest first. */
export async function findHostsForCapsule(db: Kysely<Schema>): Promise<KnownHost[]> {
  return hosts(db)
    .where("hosts.address_verified", "=", true)
    .where("hosts.problem", "is", null)
    .where(sql<boolean>`not ${isSilent}`)
    .orderBy(liveOnHost)
    .orderBy(sql`random()`)
    .limit(maxCandidates)
    .execute();
}

/** Replaces the tokens of a host that were not used by one that is good for an hour. */
export async function replaceRegistrationToken(
  db: Kysely<Schema>,
  hostId: string,
  hash: Buffer,
): Promise<void> {
  await db.transaction().execute(async (transaction) => {
    // One at a time, so that one is left.
    await transaction.selectFrom("hosts").select("id").where("id", "=", hostId).forUpdate().execute();
    await transaction
      .deleteFrom("registration_tokens")
      .where("host_id", "=", hostId)
      .where("used_at", "is", null)
      .execute();
    await transaction
      .insertInto("registration_tokens")
      .values({
        token_hash: hash,
        host_id: hostId,
        expires_at: sql<Date>`now() + make_interval(hours => ${registrationHours})`,
      })
      .execute();
  });
}

/**
 * Uses up a registration token, once whoever tries.
 *
 * @throws {WrennError} as {@link checkRegistrationToken}.
 */
export async function useRegistrationToken(
  db: Transaction<Schema>,
  hostId: string,
  hash: Buffer,
): Promise<void> {
  const used = await db
    .updateTable("registration_tokens")
    .set({ used_at: sql<Date>`now()` })
    .where("token_hash", "=", hash)
    .where("host_id", "=", hostId)
    .where("used_at", "is", null)
    .where("expires_at", ">", sql<Date>`now()`)
    .returning("host_id")
    .executeTakeFirst();
  if (used) return;
  await checkRegistrationToken(db, hostId, hash);
  throw new WrennError("conflict", "token changed while it was used; try again", { field: "token" });
}

/**
 * Says what is wrong with a registration token, without using it up.
 *
 * @throws {WrennError} `token_used`, `token_expired`, or `unauthorized` for one that was replaced or never was.
 */
export async function checkRegistrationToken(
  db: Kysely<Schema>,
  hostId: string,
  hash: Buffer,
): Promise<void> {
  const token = await db
    .selectFrom("registration_tokens")
    .select(["used_at", sql<boolean>`expires_at <= now()`.as("expired")])
    .where("token_hash", "=", hash)
    .where("host_id", "=", hostId)
    .executeTakeFirst();
  const refuse = (code: ErrorCode, what: string): never => {
    throw new WrennError(code, `${what}; issue another: POST /v1/hosts/${hostId}/token`, { field: "token" });
  };
  if (!token) return refuse("unauthorized", "token is not known, or was replaced by a newer one");
  if (token.used_at) return refuse("token_used", "token was used already; it registers one agent once");
  if (token.expired) return refuse("token_expired", "token has expired; it is good for an hour");
}

/** Notes who registered as a host. What was known of an agent before is forgotten: this is another. */
export async function noteRegistration(
  db: Transaction<Schema>,
  hostId: string,
  specs: HostSpecs,
  hash: Buffer,
): Promise<KnownHost | undefined> {
  await db
    .updateTable("hosts")
    .set({
      ...columnsOf(specs),
      address_verified: false,
      token_hash: hash,
      registered_at: sql<Date>`now()`,
      report_epoch: null,
      report_revision: null,
      problem: null,
      updated_at: sql<Date>`now()`,
    })
    .where("id", "=", hostId)
    .execute();
  return findHost(db, hostId);
}

/** Notes what a report says of its host, and that there was one; not of a host that has registered anew since. */
export async function noteReport(
  db: Kysely<Schema>,
  host: Pick<HostRow, "id" | "token_hash">,
  specs: HostSpecs,
  seen: { addressVerified: boolean; problem: string | undefined },
): Promise<void> {
  await db
    .updateTable("hosts")
    .set({
      ...columnsOf(specs),
      address_verified: seen.addressVerified,
      problem: seen.problem ?? null,
      last_report_at: sql<Date>`now()`,
      updated_at: sql<Date>`now()`,
    })
    .where("id", "=", host.id)
    .where("token_hash", "=", host.token_hash)
    .execute();
}

/**
 * Moves on what is known of a host to a report's epoch and revision, if it is still what the caller has seen.
 *
 * @returns whether it was.
 */
export async function advanceReport(
  db: Kysely<Schema>,
  seen: Pick<HostRow, "id" | "token_hash" | "report_epoch" | "report_revision">,
  to: { epoch: bigint; revision: bigint },
): Promise<boolean> {
  const moved = await db
    .updateTable("hosts")
    .set({ report_epoch: to.epoch, report_revision: to.revision })
    .where("id", "=", seen.id)
    .where("token_hash", "=", seen.token_hash)
    .where(sql<boolean>`report_epoch is not distinct from ${seen.report_epoch}`)
    .where(sql<boolean>`report_revision is not distinct from ${seen.report_revision}`)
    .returning("id")
    .executeTakeFirst();
  return moved !== undefined;
}

/** Says that we do not know what is on a host any more: its next report has to be a full one. */
export async function wantFullReport(db: Kysely<Schema>, hostId: string): Promise<void> {
  await db.updateTable("hosts").set({ report_revision: null }).where("id", "=", hostId).execute();
}

/** Doubts an address: before the host gets another capsule, it has to answer there. */
export async function doubtAddress(db: Kysely<Schema>, hostId: string): Promise<void> {
  await db
    .updateTable("hosts")
    .set({
      address_verified: false,
      problem: "the agent did not answer the control plane; it is tried again with its next report",
    })
    .where("id", "=", hostId)
    .execute();
}

function hosts(db: Kysely<Schema>) {
  return db.selectFrom("hosts").selectAll("hosts").select(isSilent.as("silent"));
}

function columnsOf(specs: HostSpecs) {
  return {
    address: specs.address,
    arch: specs.arch,
    cpu_cores: specs.cpu_cores,
    memory_mib: specs.memory_mb,
    disk_gib: specs.disk_gb,
    agent_version: specs.agent_version,
  };
}
