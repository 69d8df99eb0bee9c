import { isId, newId, sizeProblem, WrennError } from "@wrenn/contracts";
import type { BootSnapshots } from "../templates/boot-snapshots.ts";
import { Capsule, type CapsuleRequest } from "./capsule.ts";
import type { HostParts } from "./host-parts.ts";
import { startCapsule } from "./start-capsule.ts";

export interface CapsuleServiceOptions extends HostParts {
  readonly boots: BootSnapshots;
}

/** What ends a capsule, and whose command it is. */
interface Ending {
  readonly operation: string;
  readonly generation: number;
  /** Reported when it is gone. */
  readonly reason: string;
}

/**
 * The capsules of this host. Operations are detached from whoever asked for them: a create goes on when the caller
 * has gone, and a second call for the same capsule and generation waits for the first.
 */
export class CapsuleService implements AsyncDisposable {
  readonly #options: CapsuleServiceOptions;
  readonly #capsules = new Map<string, Capsule>();
  readonly #starting = new Map<string, Promise<Capsule>>();
  readonly #ending = new Map<string, Promise<void>>();
  #draining = false;

  /** @param recovered capsules of an earlier life of the agent. */
  constructor(options: CapsuleServiceOptions, recovered: readonly Capsule[]) {
    this.#options = options;
    for (const capsule of recovered) {
      this.#capsules.set(capsule.request.id, capsule);
      if (capsule.state === "running") void this.#watch(capsule);
    }
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
  async create(request: CapsuleRequest): Promise<Capsule> {
    checkRequest(request);
    const present = this.#capsules.get(request.id);
    if (present) return await this.#repeated(present, request);
    this.#options.signal.throwIfAborted();
    if (this.#draining) throw new WrennError("shutting_down", "this host is being drained; try again");
    const capsule = begin(request, this.#options);
    this.#capsules.set(request.id, capsule);
    const starting = this.#start(capsule).finally(() => this.#starting.delete(request.id));
    this.#starting.set(request.id, starting);
    return await starting;
  }

  /** Ends a capsule and everything of it. Destroying what is not there is fine. */
  async destroy(id: string, operation: string, generation: number): Promise<void> {
    const capsule = this.#capsules.get(id);
    if (!capsule) return;
    if (generation < capsule.generation) throw oldGeneration(id, generation, capsule);
    await this.#end(capsule, { operation, generation, reason: "destroyed" });
  }

  /** Ends every capsule, and takes no more: the host is given up. */
  async drain(): Promise<void> {
    this.#draining = true;
    const reason = "host_drained";
    await Promise.all(
      this.list().map((capsule) =>
        this.#end(capsule, { operation: newId("operation"), generation: capsule.generation, reason }),
      ),
    );
  }

  /** Finishes what is under way and lets go of the capsules: they run on, and the next agent serves them. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#starting.values(), ...this.#ending.values()]);
    await Promise.all(this.list().map((capsule) => capsule.detach()));
  }

  async #repeated(present: Capsule, request: CapsuleRequest): Promise<Capsule> {
    if (present.generation !== request.generation)
      throw oldGeneration(request.id, request.generation, present);
    return (await this.#starting.get(request.id)) ?? present;
  }

  async #start(capsule: Capsule): Promise<Capsule> {
    const { request } = capsule;
    const logger = this.#loggerOf(capsule);
    const started = performance.now();
    try {
      const source = await this.#options.boots.get(request.template, request.size);
      const resources = await startCapsule(request, source, { ...this.#options, logger });
      await using undo = new AsyncDisposableStack();
      undo.use(resources.holdings);
      if (capsule.state !== "starting") {
        throw new WrennError("conflict", `capsule ${request.id} was destroyed while it started`);
      }
      capsule.run(source.versions, resources);
      undo.move();
      const createMs = Math.round(performance.now() - started);
      logger.info({ createMs, pid: resources.running.machine.process.pid }, "capsule runs");
      void this.#watch(capsule);
      return capsule;
    } catch (error) {
      logger.error({ err: error }, "capsule did not start");
      if (capsule.state === "starting") await this.#forget(capsule, reasonOf(error));
      throw hostError(error);
    }
  }

  /** Notices at once when the machine ends by itself, and releases what it held. */
  async #watch(capsule: Capsule): Promise<void> {
    const exit = await capsule.machine?.exited;
    if (capsule.state !== "running") return;
    const logger = this.#loggerOf(capsule);
    logger.error({ ...exit }, "the machine of a running capsule ended");
    this.#options.metrics.vmmExited();
    try {
      capsule.fail("vmm_exited", exit?.lastWords);
      await capsule.release();
    } catch (err) {
      logger.error({ err }, "a release failed");
    }
  }

  #end(capsule: Capsule, ending: Ending): Promise<void> {
    const id = capsule.request.id;
    const known = this.#ending.get(id);
    if (known !== undefined) return known;
    const finished = this.#release(capsule, ending).finally(() => this.#ending.delete(id));
    this.#ending.set(id, finished);
    return finished;
  }

  async #release(capsule: Capsule, { operation, generation, reason }: Ending): Promise<void> {
    capsule.stop(operation, generation);
    // A create under way sees the new state, releases what it made, and fails.
    await this.#starting.get(capsule.request.id)?.catch(() => {});
    await capsule.release();
    await this.#forget(capsule, reason);
    this.#options.logger.info({ capsule: capsule.request.id, operation, reason }, "capsule destroyed");
  }

  async #forget(capsule: Capsule, reason: string): Promise<void> {
    await capsule.forget(reason);
    this.#capsules.delete(capsule.request.id);
  }

  #loggerOf({ request }: Capsule) {
    return this.#options.logger.child({ capsule: request.id, operation: request.operation });
  }
}

function checkRequest(request: CapsuleRequest): void {
  if (!isId("capsule", request.id)) {
    throw new WrennError("invalid_request", `${JSON.stringify(request.id)} is not a capsule id`, {
      field: "capsule_id",
    });
  }
  const problem = sizeProblem(request.size);
  if (!problem) return;
  const field = problem.part === "vcpus" ? "vcpus" : "memory_mb";
  const message = `${field} must be one of ${problem.choices.join(", ")}, not ${request.size[problem.part]}`;
  throw new WrennError("invalid_request", message, { field });
}

function begin(request: CapsuleRequest, parts: HostParts): Capsule {
  try {
    return Capsule.begin(request, parts);
  } catch (error) {
    throw hostError(error);
  }
}

function oldGeneration(id: string, generation: number, present: Capsule): WrennError {
  const message = `capsule ${id} is at generation ${present.generation}, the request at ${generation}`;
  return new WrennError("conflict", message, { field: "generation" });
}

function reasonOf(error: unknown): string {
  const mapped = hostError(error);
  return mapped instanceof WrennError ? mapped.code : "internal_error";
}

/** What the host lacks gets a code of its own, so that the operator is told what to mend. */
function hostError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof WrennError) return error;
  const full = "code" in error && error.code === "ENOSPC";
  if (!full) return error;
  return new WrennError("host_disk_full", "the host's disk is full; free space below WRENN_DIR", {
    cause: error,
  });
}
