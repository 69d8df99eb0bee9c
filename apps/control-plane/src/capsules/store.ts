import {
  type CapsuleState,
  capsuleStates,
  isTransitional,
  statesBefore,
  statesThatCanBecome,
  statusOf,
  transitionalStates,
} from "@wrenn/contracts";
import type { TimeoutAction } from "@wrenn/contracts/rest";
import { type Kysely, sql } from "kysely";
import type { CapsuleRow, CapsuleVersions, Schema } from "../database/schema.ts";
import { isSilent } from "../hosts/store.ts";
import { isAlive } from "../replicas/store.ts";
import type { Observed } from "../reports/observed.ts";
import { holdReady } from "../snapshots/store.ts";
import { isOnHost } from "./on-host.ts";

export interface NewCapsule {
  id: string;
  teamId: string;
  template: string;
  vcpus: number;
  memoryMib: number;
  timeoutSec: number;
  maxRunSec?: number;
  onTimeout?: TimeoutAction;
  autoResume?: boolean;
  metadata?: Record<string, string>;
  /** Size of its disk, if it is not the template's. */
  diskMib?: number | undefined;
  /** The snapshot that its template is. */
  snapshotId?: string | undefined;
  /** The capsule that it is a copy of. */
  forkedFrom?: string | undefined;
}

/** What its owner can change of a capsule, by column. */
export type CapsuleSettings = Partial<
  Pick<CapsuleRow, "timeout_sec" | "max_run_sec" | "on_timeout" | "auto_resume" | "metadata">
>;

/** What a move can set beside the state. */
export interface MoveChanges {
  /** New generation, when the move is a new command. */
  generation?: bigint;
  hostId?: string;
  reason?: string;
  detail?: string | undefined;
  revision?: bigint;
  versions?: CapsuleVersions;
  startedAt?: Date;
  diskMib?: number | undefined;
}

/** The row a caller has seen: a move applies to that one, or to none. */
export type SeenCapsule = Pick<CapsuleRow, "id" | "generation">;

/** States that a client sees as `stopped`: no list shows them. */
const hiddenStates = capsuleStates.filter((state) => statusOf(state) === "stopped");
/** As text of the query, so that PostgreSQL recognises the condition of the partial index. */
const visible = sql<boolean>`capsules.state not in (${sql.join(hiddenStates.map((state) => sql.lit(state)))})`;

/** A capsule with what there is to know of its host. */
export type PlacedCapsule = CapsuleRow & {
  /** Whether its host has not reported for a while. */
  host_silent: boolean;
  host_address: string | null;
  host_epoch: bigint | null;
};

/** How long a command may be on its way to a host: its session would have failed before. */
const underWaySec = 15;

/** Rows of capsules. Their state changes by {@link CapsuleStore.move} and by nothing else. */
export class CapsuleStore {
  readonly #db: Kysely<Schema>;
  readonly #replica: string;

  /** @param replica this control plane, as what it works on is marked. */
  constructor(db: Kysely<Schema>, replica: string) {
    this.#db = db;
    this.#replica = replica;
  }

  /**
   * Notes a capsule that is to be created from a snapshot, while that is there.
   *
   * @throws {WrennError} `not_found` when it is not any more.
   */
  async insertFrom(snapshotId: string, capsule: NewCapsule): Promise<CapsuleRow> {
    return this.#db.transaction().execute(async (transaction) => {
      await holdReady(transaction, snapshotId);
      return new CapsuleStore(transaction, this.#replica).insert({ ...capsule, snapshotId });
    });
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
        ...(capsule.maxRunSec !== undefined && { max_run_sec: capsule.maxRunSec }),
        ...(capsule.onTimeout !== undefined && { on_timeout: capsule.onTimeout }),
        ...(capsule.autoResume !== undefined && { auto_resume: capsule.autoResume }),
        ...(capsule.metadata !== undefined && { metadata: JSON.stringify(capsule.metadata) }),
        disk_mib: capsule.diskMib ?? null,
        snapshot_id: capsule.snapshotId ?? null,
        forked_from: capsule.forkedFrom ?? null,
        state: "pending",
        generation: 1n,
        revision: 0n,
        operated_by: this.#replica,
      })
      .returningAll()
      .executeTakeFirstOrThrow();
  }

  /** Places a capsule that is being made on a host: its first, or the next after one that was full. */
  async place(seen: SeenCapsule, hostId: string): Promise<CapsuleRow | undefined> {
    return this.#db
      .updateTable("capsules")
      .set({ state: "starting", host_id: hostId, operated_by: this.#replica, updated_at: sql`now()` })
      .where("id", "=", seen.id)
      .where("state", "in", ["pending", "starting"])
      .where("generation", "=", seen.generation)
      .returningAll()
      .executeTakeFirst();
  }

  /** Whether what is being done to a capsule is this control plane's to do. */
  isOurs({ operated_by: replica }: CapsuleRow): boolean {
    return replica === this.#replica;
  }

  /**
   * Takes over a capsule that is being made, if nobody else works on it.
   *
   * @returns undefined when somebody does, or it has moved.
   */
  async takeOver(seen: CapsuleRow): Promise<CapsuleRow | undefined> {
    return this.#db
      .updateTable("capsules")
      .set({ operated_by: this.#replica, updated_at: sql`now()` })
      .where("id", "=", seen.id)
      .where("state", "=", seen.state)
      .where("generation", "=", seen.generation)
      .where(sql<boolean>`(operated_by = ${this.#replica} or not ${isAlive("capsules.operated_by")})`)
      .returningAll()
      .executeTakeFirst();
  }

  /** Changes what its owner decides of a capsule, whatever its state. Undefined when the team has none of that id. */
  async change(
    teamId: string,
    id: string,
    { metadata, ...settings }: CapsuleSettings,
  ): Promise<CapsuleRow | undefined> {
    return this.#db
      .updateTable("capsules")
      .set({
        ...settings,
        ...(metadata && { metadata: JSON.stringify(metadata) }),
        updated_at: sql`now()`,
      })
      .where("id", "=", id)
      .where("team_id", "=", teamId)
      .returningAll()
      .executeTakeFirst();
  }

  /**
   * Begins a fork: moves a capsule as {@link CapsuleStore.move} does, and makes the rows of its copies, which start on
   * its host; all of that or nothing.
   */
  async fork(
    seen: SeenCapsule,
    copies: readonly NewCapsule[],
  ): Promise<{ capsule: CapsuleRow; copies: CapsuleRow[] } | undefined> {
    return this.#db.transaction().execute(async (transaction) => {
      const store = new CapsuleStore(transaction, this.#replica);
      const capsule = await store.move(seen, "snapshotting", { generation: seen.generation + 1n });
      if (!capsule || capsule.host_id === null) return undefined;
      const made: CapsuleRow[] = [];
      for (const copy of copies) {
        const pending = await store.insert(copy);
        made.push((await store.move(pending, "starting", { hostId: capsule.host_id })) ?? pending);
      }
      return { capsule, copies: made };
    });
  }

  /** Copies of a capsule that are being made. */
  async startingCopiesOf(id: string): Promise<CapsuleRow[]> {
    return this.#db
      .selectFrom("capsules")
      .selectAll()
      .where("forked_from", "=", id)
      .where("state", "=", "starting")
      .orderBy("id")
      .execute();
  }

  async find(teamId: string, id: string): Promise<PlacedCapsule | undefined> {
    return this.#placed()
      .where("capsules.id", "=", id)
      .where("capsules.team_id", "=", teamId)
      .executeTakeFirst();
  }

  /** Newest first, without stopped ones. */
  async list(teamId: string): Promise<PlacedCapsule[]> {
    return this.#placed()
      .where("capsules.team_id", "=", teamId)
      .where(visible)
      .orderBy("capsules.created_at", "desc")
      .orderBy("capsules.id", "desc")
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
        operated_by: isTransitional(to) ? this.#replica : null,
        updated_at: sql`now()`,
        generation: changes.generation ?? seen.generation,
        reason: changes.reason ?? null,
        detail: changes.detail ?? null,
        ...(changes.hostId !== undefined && { host_id: changes.hostId }),
        ...(changes.revision !== undefined && {
          revision: sql<bigint>`greatest(revision, ${changes.revision})`,
        }),
        ...(changes.versions && { versions: JSON.stringify(changes.versions) }),
        ...(changes.diskMib !== undefined && { disk_mib: changes.diskMib }),
        ...(changes.startedAt && { started_at: changes.startedAt, last_active_at: sql<Date>`now()` }),
      })
      .where("id", "=", seen.id)
      .where(sql<boolean>`state = any(${statesBefore(to)}::text[])`)
      .where("generation", "=", seen.generation)
      .returningAll()
      .executeTakeFirst();
  }

  /**
   * Makes a row say what its host observed. That is no command: the host may have come there over several steps. Never
   * goes back. Undefined when somebody has commanded something since, or when the host cannot have come there.
   */
  async observe(seen: SeenCapsule, observed: Observed): Promise<CapsuleRow | undefined> {
    const { state, reason, detail, revision, startedAt, versions, diskMib } = observed;
    const lives = state !== "error" && state !== "stopped";
    return this.#db
      .updateTable("capsules")
      .set({
        state,
        reason: reason ?? null,
        detail: detail ?? null,
        revision,
        operated_by: null,
        updated_at: sql`now()`,
        ...(lives && { started_at: sql<Date>`coalesce(${startedAt ?? null}, started_at, now())` }),
        ...(state === "running" && {
          last_active_at: sql<Date>`case state when 'running' then last_active_at else now() end`,
        }),
        ...(Object.keys(versions).length > 0 && { versions: JSON.stringify(versions) }),
        ...(diskMib !== undefined && { disk_mib: diskMib }),
      })
      .where("id", "=", seen.id)
      .where(sql<boolean>`state = any(${statesThatCanBecome(state)}::text[])`)
      .where("generation", "=", seen.generation)
      .where("revision", "<=", revision)
      .returningAll()
      .executeTakeFirst();
  }

  /** Notes that a capsule is not where it should be, from whatever state, and neither is its disk. */
  async noteLost(seen: SeenCapsule): Promise<CapsuleRow | undefined> {
    return this.#db
      .updateTable("capsules")
      .set({ state: "error", reason: "lost", detail: null, operated_by: null, updated_at: sql`now()` })
      .where("id", "=", seen.id)
      .where("state", "not in", ["stopping", "stopped"])
      .where("generation", "=", seen.generation)
      .returningAll()
      .executeTakeFirst();
  }

  /** Ends a capsule without its host: it is gone, cannot be reached, or has never had it. */
  async noteStopped(seen: SeenCapsule, reason: string): Promise<CapsuleRow | undefined> {
    return this.#db
      .updateTable("capsules")
      .set({ state: "stopped", reason, detail: null, operated_by: null, updated_at: sql`now()` })
      .where("id", "=", seen.id)
      .where("state", "<>", "stopped")
      .where("generation", "=", seen.generation)
      .returningAll()
      .executeTakeFirst();
  }

  /**
   * Ends the row of a capsule that has not come to be. Whoever asked for one finds the reason on it; copies of another
   * were never told of, and are in no list.
   */
  async noteFailedCreate(seen: SeenCapsule, reason: string): Promise<CapsuleRow | undefined> {
    return this.#db
      .updateTable("capsules")
      .set({
        state: sql<CapsuleState>`case when forked_from is null then 'error' else 'stopped' end`,
        reason,
        operated_by: null,
        updated_at: sql`now()`,
      })
      .where("id", "=", seen.id)
      .where("state", "in", ["pending", "starting"])
      .where("generation", "=", seen.generation)
      .returningAll()
      .executeTakeFirst();
  }

  /** Notes how far a host has come with a capsule whose state is as we know it. Never goes back. */
  async noteRevision(seen: SeenCapsule, { revision, diskMib }: Observed): Promise<void> {
    await this.#db
      .updateTable("capsules")
      .set({ revision, ...(diskMib !== undefined && { disk_mib: diskMib }) })
      .where("id", "=", seen.id)
      .where("generation", "=", seen.generation)
      .where("revision", "<", revision)
      .execute();
  }

  /** Capsules that have, or should have, something on a host. */
  async liveOn(hostId: string): Promise<CapsuleRow[]> {
    return this.#db
      .selectFrom("capsules")
      .selectAll()
      .where("host_id", "=", hostId)
      .where(isOnHost)
      .execute();
  }

  /**
   * Capsules on which nobody works although somebody should: their control plane is dead, or is we, who may have
   * given up. On hosts that report, or not placed.
   */
  async abandoned(): Promise<CapsuleRow[]> {
    return this.#db
      .selectFrom("capsules")
      .leftJoin("hosts", "hosts.id", "capsules.host_id")
      .selectAll("capsules")
      .where("capsules.state", "in", transitionalStates)
      .where(sql<boolean>`capsules.updated_at < now() - make_interval(secs => ${underWaySec})`)
      .where(
        sql<boolean>`(capsules.operated_by = ${this.#replica} or not ${isAlive("capsules.operated_by")})`,
      )
      .where((eb) => eb.or([eb("capsules.host_id", "is", null), eb.not(isSilent)]))
      .execute();
  }

  async findMany(ids: string[]): Promise<CapsuleRow[]> {
    if (ids.length === 0) return [];
    return this.#db
      .selectFrom("capsules")
      .selectAll()
      .where(sql<boolean>`id = any(${ids}::text[])`)
      .execute();
  }

  #placed() {
    return this.#db
      .selectFrom("capsules")
      .leftJoin("hosts", "hosts.id", "capsules.host_id")
      .selectAll("capsules")
      .select([
        sql<boolean>`capsules.host_id is not null and ${isSilent}`.as("host_silent"),
        "hosts.address as host_address",
        "hosts.report_epoch as host_epoch",
      ]);
  }
}
