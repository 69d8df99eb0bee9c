import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import { abortable } from "../abortable.ts";
import { exists } from "../disk-files.ts";
import { savedParts } from "../vmm/frozen.ts";
import { mergeMemory } from "../vmm/memory/merge.ts";
import { type MergedPaths, syncImage } from "../vmm/memory/merged-image.ts";

/** A snapshot as far as its memory goes. */
export interface SnapshotMemory {
  readonly dir: string;
  /** Snapshot that its diff is of; absent when its memory has been whole from birth. */
  readonly base?: string | undefined;
}

export interface MemoryImagesOptions {
  /** @returns undefined for a snapshot that is not there. */
  readonly find: (id: string) => SnapshotMemory | undefined;
  /** Called when a snapshot does not need its base any more. */
  readonly completed: (id: string) => void;
  readonly logger: Logger;
}

interface Work {
  /** There is a whole image, good as long as this host does not lose power. */
  readonly merged: Promise<void>;
  /** It is on the disk, and the diff is not needed any more. */
  readonly durable: Promise<void>;
  readonly controller: AbortController;
}

/**
 * Makes whole memory images of diffs and their bases. A diff is what a snapshot was committed with; its image can be made
 * at any time, and when it is on the disk the diff goes. Disposing of this ends what is under way, which is done again
 * by the next one.
 */
export class MemoryImages implements AsyncDisposable {
  readonly #options: MemoryImagesOptions;
  readonly #working = new Map<string, Work>();
  #ended = false;

  constructor(options: MemoryImagesOptions) {
    this.#options = options;
  }

  /** Begins to make the image of a snapshot, for nobody in particular. */
  begin(id: string): void {
    this.#work(id).durable.catch((err: unknown) => {
      if (!this.#ended) this.#options.logger.error({ err, snapshot: id }, "a memory image cannot be made");
    });
  }

  /** Waits until a snapshot has its whole image. @throws {WrennError} `snapshot_corrupt`, `host_disk_full`. */
  async complete(id: string, signal: AbortSignal): Promise<void> {
    await abortable(this.#work(id).merged, signal);
  }

  /** As {@link complete}, and until the image is on the disk and needs nothing else. */
  async settle(id: string, signal: AbortSignal): Promise<void> {
    await abortable(this.#work(id).durable, signal);
  }

  /** Ends the work for a snapshot that goes away. */
  async cancel(id: string): Promise<void> {
    const work = this.#working.get(id);
    work?.controller.abort(new Error(`snapshot ${id} is not needed`));
    await work?.durable.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await Promise.all([...this.#working.keys()].map((id) => this.cancel(id)));
  }

  #work(id: string): Work {
    const present = this.#working.get(id);
    if (present) return present;
    const controller = new AbortController();
    if (this.#ended) controller.abort(new Error("the agent is ending"));
    const merged = this.#merge(id, controller.signal);
    const durable = merged.then(() => this.#sync(id)).finally(() => this.#working.delete(id));
    // Whoever waits for it is told.
    durable.catch(() => {});
    const work = { merged, durable, controller };
    this.#working.set(id, work);
    return work;
  }

  async #merge(id: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const memory = this.#options.find(id);
    if (memory?.base === undefined) return;
    const { dir, base } = memory;
    const paths = pathsIn(dir);
    if (!(await exists(paths.diffPath))) return;
    const baseDir = this.#options.find(base)?.dir;
    if (baseDir === undefined) {
      throw new WrennError("snapshot_corrupt", `${paths.diffPath} is a diff of ${base}, which is missing`);
    }
    await this.complete(base, signal);
    const basePath = pathsIn(baseDir).targetPath;
    await mergeMemory({ ...paths, basePath, baseId: base }, signal);
  }

  async #sync(id: string): Promise<void> {
    const memory = this.#options.find(id);
    if (memory?.base === undefined) return;
    await syncImage(pathsIn(memory.dir));
    this.#options.completed(id);
  }
}

function pathsIn(dir: string): MergedPaths {
  return { targetPath: join(dir, savedParts.memory), diffPath: join(dir, savedParts.memoryDiff) };
}
