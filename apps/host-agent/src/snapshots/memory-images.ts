import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, syncDirectory } from "@wrenn/daemon";
import { abortable } from "../abortable.ts";
import { savedParts } from "../vmm/frozen.ts";
import { mergeMemory } from "../vmm/memory/merge.ts";
import { exists } from "./files.ts";
import { snapshotParts } from "./parts.ts";

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
  readonly done: Promise<void>;
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
    this.#work(id).catch((err: unknown) => {
      if (!this.#ended) this.#options.logger.error({ err, snapshot: id }, "a memory image cannot be made");
    });
  }

  /** Waits until a snapshot has its whole image. @throws {WrennError} `snapshot_corrupt`, `host_disk_full`. */
  async complete(id: string, signal: AbortSignal): Promise<void> {
    await abortable(this.#work(id), signal);
  }

  /** Ends the work for a snapshot that goes away. */
  async cancel(id: string): Promise<void> {
    const work = this.#working.get(id);
    work?.controller.abort(new Error(`snapshot ${id} is removed`));
    await work?.done.catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    await Promise.all([...this.#working.keys()].map((id) => this.cancel(id)));
  }

  #work(id: string): Promise<void> {
    const present = this.#working.get(id);
    if (present) return present.done;
    if (this.#ended) return Promise.reject(new Error("the agent is ending"));
    const controller = new AbortController();
    const done = this.#make(id, controller.signal).finally(() => this.#working.delete(id));
    this.#working.set(id, { done, controller });
    return done;
  }

  async #make(id: string, signal: AbortSignal): Promise<void> {
    const memory = this.#options.find(id);
    if (memory?.base === undefined) return;
    const { dir, base } = memory;
    const diffPath = join(dir, savedParts.memoryDiff);
    if (!(await exists(diffPath))) return;
    const baseDir = this.#options.find(base)?.dir;
    if (baseDir === undefined) throw new Error(`snapshot ${id} is a diff of ${base}, which is not there`);
    await this.complete(base, signal);
    const targetPath = join(dir, snapshotParts.memory);
    const basePath = join(baseDir, snapshotParts.memory);
    await mergeMemory({ basePath, baseId: base, diffPath, targetPath }, signal);
    await rm(diffPath);
    await syncDirectory(dir);
    this.#options.completed(id);
  }
}
