import { isDeepStrictEqual } from "node:util";
import { newId, WrennError } from "@wrenn/contracts";
import type { Draining } from "@wrenn/daemon";
import type { SnapshotManifest } from "../snapshots/manifest.ts";
import type { TimeRules } from "../time-rules/time-rules.ts";
import { Capsule, type CapsuleCommand, type CapsuleRequest } from "./capsule.ts";
import { checkGeneration } from "./commands.ts";
import { type CreateRequest, checkedSize, checkId, createCapsule } from "./create.ts";
import { destroyCapsule } from "./destroy.ts";
import { type Child, type ChildRequest, type ForkRequest, forkCapsule } from "./fork.ts";
import { hibernateCapsule } from "./hibernate.ts";
import { hostError } from "./host-error.ts";
import type { HostParts } from "./host-parts.ts";
import { inParallel } from "./in-parallel.ts";
import { pauseCapsule } from "./pause.ts";
import { type ResumeRequest, resumeCapsule } from "./resume.ts";
import { type SnapshotRequest, snapshotCapsule } from "./snapshot.ts";
import { timeOut } from "./time-out.ts";
import { watchMachine } from "./watch-machine.ts";

/** Why a capsule is paused or stopped when its host is drained. */
const drained = "host_drained";

/** Capsules that are paused at once when a host is drained: their memory goes to one disk. */
const pausedAtOnce = 2;

/** A snapshot that capsules can be created from. */
export interface SnapshotDescription {
  readonly manifest: SnapshotManifest;
  /** What it takes on the disk by itself. */
  readonly sizeBytes: number;
}

/**
 * The capsules of this host. Operations are detached from whoever asked for them: they go on when the caller has gone,
 * one after the other for each capsule, and a second call for the same capsule and generation waits for the first.
 */
export class CapsuleService implements AsyncDisposable {
  readonly #parts: HostParts;
  readonly #capsules = new Map<string, Capsule>();
  #draining = false;

  /** @param recovered capsules of an earlier life of the agent. */
  constructor(parts: HostParts, recovered: readonly Capsule[]) {
    this.#parts = parts;
    for (const capsule of recovered) {
      this.#capsules.set(capsule.id, capsule);
      this.#enforceTime(capsule);
      if (capsule.state === "running")
        watchMachine(capsule, this.#partsOf(capsule, capsule.record.operation));
    }
  }

  /** Machines that wait for a create. */
  get waitingMachines(): number {
    return this.#parts.pool.readyCount;
  }

  list(): Capsule[] {
    return [...this.#capsules.values()];
  }

  /** @throws {WrennError} `not_found` for an id that this host does not have. */
  get(id: string): Capsule {
    const capsule = this.#capsules.get(id);
    if (!capsule)
      throw new WrennError("not_found", `capsule ${JSON.stringify(id)} is not on this host`, { field: "id" });
    return capsule;
  }

  /** Creates a capsule, or answers the one that an earlier call with the same generation made. */
  async create(request: CreateRequest): Promise<Capsule> {
    checkId(request.id);
    const present = this.#capsules.get(request.id);
    if (present) return await repeated(present, request);
    this.#checkOpen();
    const size = checkedSize(request, this.#parts);
    const capsule = this.#begin({ ...request, size });
    await this.#run("create", capsule, request, async (parts) => {
      try {
        const { snapshot: snapshotId, diskMib } = request;
        await createCapsule(capsule, { snapshotId, diskMib }, parts);
      } finally {
        this.#forgetStopped(capsule);
      }
    });
    return capsule;
  }

  /** Saves memory and disk of a capsule, and ends its machine. */
  async pause(command: CapsuleCommand): Promise<Capsule> {
    const capsule = this.get(command.id);
    await this.#run("pause", capsule, command, (parts) => pauseCapsule(capsule, command, parts));
    return capsule;
  }

  /** Starts a paused capsule where it was paused. */
  async resume(request: ResumeRequest): Promise<Capsule> {
    const capsule = this.get(request.id);
    this.#checkOpen();
    await this.#run("resume", capsule, request, (parts) => resumeCapsule(capsule, request, parts));
    return capsule;
  }

  /** Replaces what a capsule may do in time, whatever is being done with it. */
  async changeTimeRules(id: string, timeRules: TimeRules): Promise<Capsule> {
    const capsule = this.get(id);
    if (isDeepStrictEqual(timeRules, capsule.time.rules) || capsule.operations.isEnding) return capsule;
    capsule.move({ step: "time_rules", timeRules });
    // One that runs does not survive a power cut, and neither do its rules.
    if (!capsule.machine) await capsule.sync();
    return capsule;
  }

  /** A running capsule is used by somebody who does not reach its guest through this host. */
  touch(id: string): void {
    using _ = this.get(id).use();
  }

  /** Moves a paused capsule to the archive. */
  async hibernate(command: CapsuleCommand): Promise<Capsule> {
    const capsule = this.get(command.id);
    await this.#run("hibernate", capsule, command, (parts) => hibernateCapsule(capsule, command, parts));
    return capsule;
  }

  /** Takes a snapshot of a capsule, for others to be created from. */
  async snapshot(request: SnapshotRequest): Promise<Capsule> {
    const capsule = this.get(request.id);
    this.#checkOpen();
    await this.#run("snapshot", capsule, request, (parts) => snapshotCapsule(capsule, request, parts));
    return capsule;
  }

  /** Makes copies of a capsule: all of them, or none. @returns the copies, in the order of the request. */
  async fork(request: ForkRequest): Promise<Capsule[]> {
    const capsule = this.get(request.id);
    this.#checkOpen();
    for (const { id } of request.children) checkId(id);
    const make = (child: ChildRequest) => this.#beginChild(child, capsule);
    await this.#run("fork", capsule, request, (parts) => forkCapsule(capsule, request, this, make, parts));
    return request.children.map(({ id }) => this.get(id));
  }

  /** Every snapshot that capsules can be created from. */
  async listSnapshots(): Promise<SnapshotDescription[]> {
    const { snapshots } = this.#parts;
    return await Promise.all(
      snapshots.list().map(async (manifest) => {
        return { manifest, sizeBytes: await snapshots.sizeBytes(manifest.id) };
      }),
    );
  }

  /** One of them. @throws {WrennError} `not_found`. */
  async describeSnapshot(id: string): Promise<SnapshotDescription> {
    const { snapshots } = this.#parts;
    return { manifest: snapshots.offered(id), sizeBytes: await snapshots.sizeBytes(id) };
  }

  /** No capsule is created from it any more. One that is not there is fine. */
  async deleteSnapshot(id: string): Promise<void> {
    await this.#parts.snapshots.delete(id);
  }

  /** Ends a capsule and everything of it. Destroying what is not there is fine. */
  async destroy(command: CapsuleCommand): Promise<void> {
    const capsule = this.#capsules.get(command.id);
    if (!capsule) return;
    checkGeneration(capsule, command);
    await this.#end(capsule, command, "destroyed");
  }

  /** Pauses or destroys every capsule, and takes no more. What cannot be paused runs on, and is served by the next agent. */
  async drain(how: Draining): Promise<void> {
    this.#draining = true;
    if (how === "pause") return await inParallel(this.list(), pausedAtOnce, (one) => this.#drain(one));
    await Promise.all(this.list().map((capsule) => this.#end(capsule, ownCommand(capsule), drained)));
  }

  /** Finishes what is under way and lets go of the capsules: they run on, and the next agent serves them. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const { time } of this.list()) time[Symbol.dispose]();
    await Promise.all(this.list().map((capsule) => capsule.operations.idle()));
    await Promise.all(
      this.list().map(async (capsule) => {
        const running = capsule.detach();
        running?.machine.detach();
        await running?.guest[Symbol.asyncDispose]();
      }),
    );
  }

  #begin(request: CapsuleRequest): Capsule {
    try {
      const capsule = Capsule.begin(request, this.#parts);
      this.#capsules.set(capsule.id, capsule);
      this.#enforceTime(capsule);
      return capsule;
    } catch (error) {
      throw hostError(error);
    }
  }

  /** A capsule that is to be a copy. Whatever is asked of it waits until it is one. */
  #beginChild(child: ChildRequest, { template, size }: Capsule): Child {
    if (this.#capsules.has(child.id)) {
      throw new WrennError("conflict", `capsule ${child.id} is there already`, { field: "children" });
    }
    const capsule = this.#begin({ ...child, template, size, forkOf: child.operation });
    const { promise: made, resolve, reject } = Promise.withResolvers<void>();
    const aborted = new AbortController();
    const starting = this.#run("create", capsule, child, async ({ signal }) => {
      signal.addEventListener("abort", () => aborted.abort(signal.reason), { once: true });
      await made;
    });
    // Whoever makes the copies is told by who makes them.
    starting.catch(() => {});
    const parts = this.#partsOf(capsule, child.operation, aborted.signal);
    const decide = (error?: unknown) => {
      this.#forgetStopped(capsule);
      if (error === undefined) resolve();
      else reject(error);
    };
    return { capsule, parts, decide };
  }

  #forgetStopped(capsule: Capsule): void {
    if (capsule.state === "stopped") this.#capsules.delete(capsule.id);
  }

  async #run(
    kind: string,
    capsule: Capsule,
    command: CapsuleCommand,
    work: (parts: HostParts) => Promise<void>,
  ): Promise<void> {
    checkGeneration(capsule, command);
    await capsule.operations.run(`${kind} ${command.generation}`, async (signal) => {
      // A newer command may have come before this one's turn.
      checkGeneration(capsule, command);
      await work(this.#partsOf(capsule, command.operation, signal));
    });
  }

  #enforceTime(capsule: Capsule): void {
    const pause = (command: CapsuleCommand, reason: string) =>
      this.#run(`pause ${command.operation}`, capsule, command, async (parts) => {
        // Whoever came first may have used it.
        if (capsule.time.due) await pauseCapsule(capsule, command, parts, { reason });
      });
    const destroy = (command: CapsuleCommand, reason: string) => this.#end(capsule, command, reason);
    capsule.enforce(async (reason) => {
      if (this.#draining || this.#parts.signal.aborted) return;
      try {
        await timeOut(capsule, { pause, destroy });
      } catch (err) {
        const { logger } = this.#partsOf(capsule, capsule.record.operation);
        logger.error({ err, reason }, "the time of a capsule is over, and it could not be ended");
        throw err;
      }
    });
  }

  async #drain(capsule: Capsule): Promise<void> {
    const operation = newId("operation");
    const { logger } = this.#partsOf(capsule, operation);
    try {
      await capsule.operations.run(`pause ${operation}`, async (signal) => {
        if (capsule.state !== "running") return;
        // Of the generation that it has by now: commands that came before this are done.
        const command = { ...ownCommand(capsule), operation };
        await pauseCapsule(capsule, command, this.#partsOf(capsule, operation, signal), { reason: drained });
      });
    } catch (err) {
      logger.error({ err }, "a capsule could not be paused; it runs on");
    }
  }

  async #end(capsule: Capsule, command: CapsuleCommand, reason: string): Promise<void> {
    await capsule.operations.end(async () => {
      await destroyCapsule(capsule, command, reason, this.#partsOf(capsule, command.operation));
      this.#capsules.delete(capsule.id);
    });
  }

  /** What work on one capsule is given. */
  #partsOf({ id }: Capsule, operation: string, aborted?: AbortSignal): HostParts {
    const logger = this.#parts.logger.child({ capsule: id, operation });
    const signals = [this.#parts.signal, ...(aborted ? [aborted] : [])];
    return { ...this.#parts, logger, signal: AbortSignal.any(signals) };
  }

  #checkOpen(): void {
    this.#parts.signal.throwIfAborted();
    if (this.#draining) throw new WrennError("shutting_down", "this host is being drained; try again");
  }
}

/** Waits for the create that is under way. */
async function repeated(present: Capsule, request: CapsuleRequest): Promise<Capsule> {
  if (present.generation !== request.generation) {
    const sentence = `capsule ${request.id} is at generation ${present.generation}, the request at ${request.generation}`;
    throw new WrennError("conflict", sentence, { field: "generation" });
  }
  await present.operations.run(`create ${request.generation}`, async () => {});
  return present;
}

/** What this agent does with a capsule by itself. */
function ownCommand({ id, generation }: Capsule): CapsuleCommand {
  return { id, operation: newId("operation"), generation };
}
