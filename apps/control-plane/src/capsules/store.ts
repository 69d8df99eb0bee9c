import { type CapsuleState, capsuleStates, statesBefore, statusOf } from "@wrenn/contracts";
import { type Kysely, sql } from "kysely";
import type { CapsuleRow, CapsuleVersions, Schema } from "../database/schema.ts";

export interface NewCapsule {
  id: string;
  teamId: string;
  template: string;
  vcpus: number;
  memoryMib: number;
  timeoutSec: number;
}

/** What a move can set beside the state. */
export interface MoveChanges {
  /** New generation, when the move is a new command. */
  generation?: bigint;
  hostId?: string;
  reason?: string;
  revision?: bigint;
  versions?: CapsuleVersions;
  startedAt?: Date;
}

/** The row a caller has seen: a move applies to that one, or to none. */
export type SeenCapsule = Pick<CapsuleRow, "id" | "generation">;

/** States that a client sees as `stopped`: no list shows them. */
const hiddenStates = capsuleStates.filter((state) => statusOf(state) === "stopped");
/** As text of the query, so that PostgreSQL recognises the condition of the partial index. */
const visible = sql<boolean>`state not in (${sql.join(hiddenStates.map((state) => sql.lit(state)))})`;

/** Rows of capsules. Their state changes by {@link CapsuleStore.move} and by nothing else. */
export class CapsuleStore {
  readonly #db: Kysely<Schema>;

  constructor(db: Kysely<Schema>) {
    this.#db = db;
  }

  async insert(capsule: NewCapsule): Promise<CapsuleRow> {
    return this.#db
      .insertInto("capsules")
      .values({
        id: capsule.id,
        team_id: capsule.teamId,
        template: capsule.template,
        vcpus: capsule.vcpus,
        memory_mib: capsule.memoryMib,
        timeout_sec: capsule.timeoutSec,
        state: "pending",
        generation: 1n,
        revision: 0n,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  }

  async find(teamId: string, id: string): Promise<CapsuleRow | undefined> {
    return this.#db
      .selectFrom("capsules")
      .selectAll()
      .where("id", "=", id)
      .where("team_id", "=", teamId)
      .executeTakeFirst();
  }

  /** Newest first, without stopped ones. */
  async list(teamId: string): Promise<CapsuleRow[]> {
    return this.#db
      .selectFrom("capsules")
      .selectAll()
      .where("team_id", "=", teamId)
      .where(visible)
      .orderBy("created_at", "desc")
      .orderBy("id", "desc")
      .execute();
  }

  /**
   * Moves a capsule to a state, if the table allows it from where it is and nobody has commanded anything since it
   * was seen. Undefined when that is not so.
   */
  async move(
    seen: SeenCapsule,
    to: CapsuleState,
    changes: MoveChanges = {},
  ): Promise<CapsuleRow | undefined> {
    return this.#db
      .updateTable("capsules")
      .set({
        state: to,
        updated_at: sql`now()`,
        generation: changes.generation ?? seen.generation,
        reason: changes.reason ?? null,
        ...(changes.hostId !== undefined && { host_id: changes.hostId }),
        ...(changes.revision !== undefined && { revision: changes.revision }),
        ...(changes.versions && { versions: JSON.stringify(changes.versions) }),
        ...(changes.startedAt && { started_at: changes.startedAt, last_active_at: sql<Date>`now()` }),
      })
      .where("id", "=", seen.id)
      .where(sql<boolean>`state = any(${statesBefore(to)}::text[])`)
      .where("generation", "=", seen.generation)
      .returningAll()
      .executeTakeFirst();
  }

  /** Capsules that have, or should have, something on a host; those not yet placed included. */
  async unsettledOrLive(hostId: string): Promise<CapsuleRow[]> {
    return this.#db
      .selectFrom("capsules")
      .selectAll()
      .where((eb) => eb.or([eb("host_id", "=", hostId), eb("host_id", "is", null)]))
      .where("state", "not in", ["stopped", "error"])
      .execute();
  }

  async findMany(ids: string[]): Promise<CapsuleRow[]> {
    if (ids.length === 0) return [];
    return this.#db.selectFrom("capsules").selectAll().where("id", "in", ids).execute();
  }

  /** Notes when capsules were last used; never moves the time back. */
  async noteActivity(times: ReadonlyMap<string, Date>): Promise<void> {
    await sql`
      update capsules set last_active_at = used.at
      from unnest(${[...times.keys()]}::text[], ${[...times.values()]}::timestamptz[]) as used (id, at)
      where capsules.id = used.id and (last_active_at is null or last_active_at < used.at)
    `.execute(this.#db);
  }
}
