import { WrennError } from "@wrenn/contracts";
import { type Kysely, sql, type Transaction } from "kysely";
import { isTaken, refersToNothing } from "../database/availability.ts";
import type { Schema, SnapshotRow } from "../database/schema.ts";
import { isSilent } from "../hosts/store.ts";
import { isAlive } from "../replicas/store.ts";

export interface NewSnapshot {
  id: string;
  teamId: string;
  name: string;
  hostId: string;
  capsuleId: string;
  template: string;
  vcpus: number;
  memoryMib: number;
  diskMib: number | null;
}

/** What a host says of a snapshot that it has taken. */
export type SnapshotFacts = Partial<Pick<SnapshotRow, "template" | "disk_mib" | "size_bytes">>;

/** How long a command may be on its way to a host: its session would have failed before. */
const underWaySec = 15;

/** Rows of snapshots: `creating`, then `ready` under a name of their team, then `deleting` until their host has let go. */
export class SnapshotStore {
  readonly #db: Kysely<Schema>;
  readonly #replica: string;

  /** @param replica this control plane, as what it works on is marked. */
  constructor(db: Kysely<Schema>, replica: string) {
    this.#db = db;
    this.#replica = replica;
  }

  /**
   * Takes a name. One that is ready is replaced when this one is.
   *
   * @throws {WrennError} `name_taken`; also with `replace`, while another is being made.
   */
  async insert(snapshot: NewSnapshot, replace: boolean): Promise<SnapshotRow> {
    try {
      return await this.#db.transaction().execute(async (transaction) => {
        // First: whoever makes one of the name has either not committed, and we wait, or is seen below.
        const row = await insertCreating(transaction, snapshot, this.#replica);
        const taken = await readyOf(transaction, snapshot.teamId, snapshot.name).executeTakeFirst();
        if (taken && !replace) throw nameTaken(snapshot.name);
        return row;
      });
    } catch (error) {
      if (isTaken(error)) throw nameTaken(snapshot.name, "is being made");
      if (!refersToNothing(error)) throw error;
      throw new WrennError("host_unavailable", `host ${snapshot.hostId} was removed`, { cause: error });
    }
  }

  /** The one that capsules can be created from. */
  async find(teamId: string, name: string): Promise<SnapshotRow | undefined> {
    return readyOf(this.#db, teamId, name).executeTakeFirst();
  }

  /** In whatever state. */
  async findById(id: string): Promise<SnapshotRow | undefined> {
    return this.#db.selectFrom("snapshots").selectAll().where("id", "=", id).executeTakeFirst();
  }

  /** Those that capsules can be created from, newest first. */
  async list(teamId: string): Promise<SnapshotRow[]> {
    return this.#db
      .selectFrom("snapshots")
      .selectAll()
      .where("team_id", "=", teamId)
      .where("state", "=", "ready")
      .orderBy("created_at", "desc")
      .orderBy("id", "desc")
      .execute();
  }

  /** In whatever state. */
  async onHost(hostId: string): Promise<SnapshotRow[]> {
    return this.#db.selectFrom("snapshots").selectAll().where("host_id", "=", hostId).execute();
  }

  /**
   * Offers a snapshot that its host has taken. One that had the name is `deleting` from then on.
   *
   * @returns undefined when nobody wants it any more: its row is gone.
   */
  async markReady(creating: SnapshotRow, facts: SnapshotFacts): Promise<ReadySnapshot | undefined> {
    return this.#db.transaction().execute(async (transaction) => {
      const wanted = await transaction
        .selectFrom("snapshots")
        .select("id")
        .where("id", "=", creating.id)
        .where("state", "=", "creating")
        .forUpdate()
        .executeTakeFirst();
      if (!wanted) return undefined;
      const { team_id: teamId, name } = creating;
      const replaced = await readyOf(transaction, teamId, name).forUpdate().executeTakeFirst();
      if (replaced) await noteDeleting(transaction, replaced.id, this.#replica);
      const ready = await transaction
        .updateTable("snapshots")
        .set({ ...facts, state: "ready", operated_by: null, updated_at: sql<Date>`now()` })
        .where("id", "=", creating.id)
        .returningAll()
        .executeTakeFirstOrThrow();
      return { ready, replaced };
    });
  }

  /**
   * Takes a snapshot's name away, so that nothing is created from it any more.
   *
   * @returns undefined when it was not ready any more.
   * @throws {WrennError} `template_in_use` while capsules that were created from it are there, unless forced.
   */
  async commandDelete(seen: SnapshotRow, force: boolean): Promise<SnapshotRow | undefined> {
    return this.#db.transaction().execute(async (transaction) => {
      // A create holds this lock until its capsule's row is there: it is seen below, or finds no snapshot.
      const ready = await transaction
        .selectFrom("snapshots")
        .select("id")
        .where("id", "=", seen.id)
        .where("state", "=", "ready")
        .forUpdate()
        .executeTakeFirst();
      if (!ready) return undefined;
      if (!force) await refuseInUse(transaction, seen);
      return noteDeleting(transaction, seen.id, this.#replica);
    });
  }

  /** Gives up a snapshot that is not ready. What its host has of it is to be deleted. */
  async giveUp(creating: SnapshotRow): Promise<SnapshotRow | undefined> {
    return this.#db
      .updateTable("snapshots")
      .set({ state: "deleting", operated_by: this.#replica, updated_at: sql<Date>`now()` })
      .where("id", "=", creating.id)
      .where("state", "=", "creating")
      .returningAll()
      .executeTakeFirst();
  }

  /** Forgets a snapshot, if it is in the state that it was seen in. */
  async forget(seen: Pick<SnapshotRow, "id" | "state">): Promise<boolean> {
    const gone = await this.#db
      .deleteFrom("snapshots")
      .where("id", "=", seen.id)
      .where("state", "=", seen.state)
      .returning("id")
      .executeTakeFirst();
    return gone !== undefined;
  }

  /**
   * Those on which nobody works although somebody should: their control plane is dead, or is we, who may have given
   * up. On hosts that report.
   */
  async abandoned(): Promise<SnapshotRow[]> {
    return this.#db
      .selectFrom("snapshots")
      .innerJoin("hosts", "hosts.id", "snapshots.host_id")
      .selectAll("snapshots")
      .where("snapshots.state", "in", ["creating", "deleting"])
      .where(sql<boolean>`snapshots.updated_at < now() - make_interval(secs => ${underWaySec})`)
      .where(
        sql<boolean>`(snapshots.operated_by = ${this.#replica} or not ${isAlive("snapshots.operated_by")})`,
      )
      .where((eb) => eb.not(isSilent))
      .execute();
  }
}

export interface ReadySnapshot {
  ready: SnapshotRow;
  /** The one that had the name before; to be deleted on its host. */
  replaced: SnapshotRow | undefined;
}

/**
 * Keeps a snapshot from being deleted until the transaction ends.
 *
 * @throws {WrennError} `not_found` when it is not there any more.
 */
export async function holdReady(transaction: Transaction<Schema>, id: string): Promise<void> {
  const ready = await transaction
    .selectFrom("snapshots")
    .select("id")
    .where("id", "=", id)
    .where("state", "=", "ready")
    .forShare()
    .executeTakeFirst();
  if (!ready) throw new WrennError("not_found", "the snapshot has just been deleted", { field: "template" });
}

function readyOf(db: Kysely<Schema>, teamId: string, name: string) {
  return db
    .selectFrom("snapshots")
    .selectAll()
    .where("team_id", "=", teamId)
    .where("name", "=", name)
    .where("state", "=", "ready");
}

function insertCreating(db: Kysely<Schema>, snapshot: NewSnapshot, replica: string): Promise<SnapshotRow> {
  return db
    .insertInto("snapshots")
    .values({
      id: snapshot.id,
      team_id: snapshot.teamId,
      name: snapshot.name,
      host_id: snapshot.hostId,
      capsule_id: snapshot.capsuleId,
      template: snapshot.template,
      vcpus: snapshot.vcpus,
      memory_mib: snapshot.memoryMib,
      disk_mib: snapshot.diskMib,
      state: "creating",
      operated_by: replica,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

function noteDeleting(db: Kysely<Schema>, id: string, replica: string): Promise<SnapshotRow> {
  return db
    .updateTable("snapshots")
    .set({ state: "deleting", operated_by: replica, updated_at: sql<Date>`now()` })
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

async function refuseInUse(db: Kysely<Schema>, { id, name }: SnapshotRow): Promise<void> {
  const { count } = await db
    .selectFrom("capsules")
    .select((eb) => eb.fn.countAll<bigint>().as("count"))
    .where("snapshot_id", "=", id)
    .where("state", "<>", "stopped")
    // A create that has failed has left nothing that could stand on it.
    .where(sql<boolean>`not (state = 'error' and started_at is null)`)
    .executeTakeFirstOrThrow();
  if (count === 0n) return;
  const what = count === 1n ? "1 capsule was" : `${count} capsules were`;
  const sentence = `${what} created from "${name}"; destroy what is left of it, or delete it with force=true`;
  throw new WrennError("template_in_use", sentence);
}

function nameTaken(name: string, how = "exists"): WrennError {
  const sentence = `a snapshot with the name "${name}" ${how} already`;
  return new WrennError("name_taken", sentence, { field: "name" });
}
