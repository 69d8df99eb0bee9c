import { isId, WrennError } from "@wrenn/contracts";
import type { CreateCapsuleBody, ForkCapsuleBody, ResumeCapsuleBody } from "@wrenn/contracts/rest";
import type { CapsuleRow } from "../database/schema.ts";
import type { Hosts } from "../hosts/hosts.ts";
import type { OwnedKey } from "../idempotency/owned-key.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { SnapshotStore } from "../snapshots/store.ts";
import type { Activity } from "./activity.ts";
import { hibernateCommand, pauseCommand } from "./commands.ts";
import { createCapsule } from "./creation.ts";
import { abandonStop, commandStop, finishStop } from "./destroy.ts";
import { forkCapsule } from "./fork.ts";
import { commandCapsule } from "./lifecycle.ts";
import { refuseVersionNames } from "./metadata.ts";
import type { CapsuleOperations } from "./operations.ts";
import { resumeCapsule } from "./resume.ts";
import type { CapsuleStore, PlacedCapsule } from "./store.ts";
import { CapsuleUse, type Use, type UsedCapsule } from "./use.ts";

export interface CapsuleServiceParts {
  store: CapsuleStore;
  snapshots: SnapshotStore;
  hosts: Hosts;
  operations: CapsuleOperations;
  activity: Activity;
  metrics: Metrics;
}

/** Capsules of teams. Every method answers `not_found` for what is another team's. */
export class CapsuleService {
  readonly #parts: CapsuleServiceParts;
  readonly #use: CapsuleUse;

  constructor(parts: CapsuleServiceParts) {
    this.#parts = parts;
    this.#use = new CapsuleUse({ ...parts, get: (teamId, id) => this.get(teamId, id) });
  }

  /** Creates a capsule and answers when it runs; see {@link createCapsule}. */
  async create(
    teamId: string,
    body: CreateCapsuleBody,
    logger: Log,
    key?: OwnedKey | undefined,
  ): Promise<CapsuleRow> {
    return createCapsule({ teamId, body, logger, key }, this.#parts);
  }

  async list(teamId: string): Promise<PlacedCapsule[]> {
    return this.#parts.store.list(teamId);
  }

  async get(teamId: string, id: string): Promise<PlacedCapsule> {
    const row = isId("capsule", id) ? await this.#parts.store.find(teamId, id) : undefined;
    if (!row) throw new WrennError("not_found", `there is no capsule ${JSON.stringify(id)}`, { field: "id" });
    return row;
  }

  /** Destroys a capsule; one that is stopped already is fine. */
  async destroy(teamId: string, id: string, logger: Log): Promise<void> {
    const { store, hosts, operations, metrics } = this.#parts;
    const row = await this.get(teamId, id);
    await metrics.operation("destroy", () =>
      operations.run(id, async () => {
        const stopping = await commandStop(row, store);
        // Nobody is kept waiting for a host that may never come back.
        if (row.host_silent && row.host_id !== null) await abandonStop(stopping, hosts, store, logger);
        else await finishStop(stopping, hosts, store, logger);
      }),
    );
  }

  /** Saves a capsule's memory and disk, and ends its machine. */
  async pause(teamId: string, id: string, logger: Log, key?: OwnedKey | undefined): Promise<CapsuleRow> {
    return commandCapsule(await this.get(teamId, id), pauseCommand, this.#parts, logger, key);
  }

  /** Starts a capsule where it was paused, or anew from its disk. */
  async resume(
    teamId: string,
    id: string,
    { from }: ResumeCapsuleBody,
    logger: Log,
    key?: OwnedKey | undefined,
  ): Promise<CapsuleRow> {
    return resumeCapsule(await this.get(teamId, id), from, this.#parts, logger, key);
  }

  /** Moves a paused capsule to the archive. */
  async hibernate(teamId: string, id: string, logger: Log, key?: OwnedKey | undefined): Promise<CapsuleRow> {
    return commandCapsule(await this.get(teamId, id), hibernateCommand, this.#parts, logger, key);
  }

  /** Makes copies of a running or paused capsule. */
  async fork(
    teamId: string,
    id: string,
    body: ForkCapsuleBody,
    logger: Log,
    key?: OwnedKey | undefined,
  ): Promise<CapsuleRow[]> {
    refuseVersionNames(body.metadata);
    return forkCapsule(await this.get(teamId, id), body, this.#parts, logger, key);
  }

  /** Lets work reach a running capsule; see {@link CapsuleUse.use}. */
  async use<T>(use: Use, work: (capsule: UsedCapsule) => Promise<T>): Promise<T> {
    return this.#use.use(use, work);
  }
}
