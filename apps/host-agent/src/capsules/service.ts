import { isId, sizeProblem, WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import type { BootSnapshots } from "../templates/boot-snapshots.ts";
import { Capsule, type CapsuleRequest } from "./capsule.ts";
import { type StartOptions, startCapsule } from "./start-capsule.ts";

export interface CapsuleServiceOptions extends StartOptions {
  readonly snapshots: BootSnapshots;
  readonly logger: Logger;
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

  constructor(options: CapsuleServiceOptions) {
    this.#options = options;
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
    const capsule = new Capsule(request);
    this.#capsules.set(request.id, capsule);
    const starting = this.#start(capsule).finally(() => this.#starting.delete(request.id));
    this.#starting.set(request.id, starting);
    return await starting;
  }

  /** Ends a capsule and everything of it. Destroying what is not there is fine. */
  async destroy(id: string, generation: bigint): Promise<void> {
    const capsule = this.#capsules.get(id);
    if (!capsule) return;
    if (generation < capsule.request.generation) throw oldGeneration(id, generation, capsule);
    await this.#end(capsule);
  }

  /** Ends every capsule. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.list().map((capsule) => this.#end(capsule)));
  }

  async #repeated(present: Capsule, request: CapsuleRequest): Promise<Capsule> {
    if (present.request.generation !== request.generation)
      throw oldGeneration(request.id, request.generation, present);
    return (await this.#starting.get(request.id)) ?? present;
  }

  async #start(capsule: Capsule): Promise<Capsule> {
    const { request } = capsule;
    const logger = this.#options.logger.child({ capsule: request.id });
    const started = performance.now();
    try {
      const snapshot = await this.#options.snapshots.get(request.template, request.size);
      const resources = await startCapsule(request, snapshot, this.#options);
      if (capsule.state !== "starting") {
        await resources.stack.disposeAsync();
        throw new WrennError("conflict", `capsule ${request.id} was destroyed while it started`);
      }
      capsule.run(snapshot.manifest, resources);
      logger.info(
        { createMs: Math.round(performance.now() - started), pid: resources.machine.pid },
        "capsule runs",
      );
      void this.#watch(capsule, logger);
      return capsule;
    } catch (error) {
      this.#capsules.delete(request.id);
      logger.error({ err: error }, "capsule did not start");
      throw hostError(error);
    }
  }

  /** Notices at once when the machine ends by itself, and releases what it held. */
  async #watch(capsule: Capsule, logger: Logger): Promise<void> {
    const exit = await capsule.machine?.exited;
    if (capsule.state !== "running") return;
    capsule.fail("vmm_exited");
    logger.error({ ...exit }, "the machine of a running capsule ended");
    await capsule.release().catch((error: unknown) => logger.error({ err: error }, "a release failed"));
  }

  #end(capsule: Capsule): Promise<void> {
    const id = capsule.request.id;
    const known = this.#ending.get(id);
    if (known !== undefined) return known;
    capsule.stop();
    const ending = this.#release(capsule).finally(() => this.#ending.delete(id));
    this.#ending.set(id, ending);
    return ending;
  }

  async #release(capsule: Capsule): Promise<void> {
    // A create under way sees the new state, releases what it made, and fails.
    await this.#starting.get(capsule.request.id)?.catch(() => {});
    await capsule.release();
    this.#capsules.delete(capsule.request.id);
    this.#options.logger.info({ capsule: capsule.request.id }, "capsule destroyed");
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

function oldGeneration(id: string, generation: bigint, present: Capsule): WrennError {
  const message = `capsule ${id} is at generation ${present.request.generation}, the request at ${generation}`;
  return new WrennError("conflict", message, { field: "generation" });
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
