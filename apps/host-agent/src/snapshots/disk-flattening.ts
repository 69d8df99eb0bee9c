import type { Logger } from "@wrenn/daemon";
import { abortable } from "../abortable.ts";
import type { Flattener } from "../layers/flattener.ts";
import type { LayerStore } from "../layers/layer-store.ts";
import type { DiskLayer } from "../vmm/vmm.ts";
import { ownerOf } from "./owner.ts";

/** Numbers of layers of a snapshot's disk, the raw image included. */
export interface ChainLimits {
  /** A longer chain is flattened when there is time. */
  readonly soft: number;
  /** A longer chain is flattened before anything is restored from it. */
  readonly hard: number;
}

export const chainLimits: ChainLimits = { soft: 9, hard: 21 };

export interface DiskFlatteningOptions {
  readonly flattener: Flattener;
  readonly layers: LayerStore;
  readonly limits: ChainLimits;
  /** Layers of a snapshot; none when it is not there. */
  readonly layersOf: (id: string) => readonly DiskLayer[];
  /** Makes other layers, with the same content, those of a snapshot. */
  readonly replace: (id: string, layers: readonly DiskLayer[]) => Promise<void>;
  readonly logger: Logger;
}

interface Work {
  readonly id: string;
  readonly done: Promise<void>;
  readonly controller: AbortController;
  /** Whether somebody waits for it: then it is not ended for another. */
  readonly wanted: boolean;
}

/**
 * Keeps the chains of layers short, one snapshot at a time. A snapshot that something is being restored from is left as it
 * is: its layers are about to be opened.
 */
export class DiskFlattening implements AsyncDisposable {
  readonly #options: DiskFlatteningOptions;
  readonly #used = new Set<string>();
  #queue: string[] = [];
  #work: Work | undefined;
  #ended = false;

  constructor(options: DiskFlatteningOptions) {
    this.#options = options;
  }

  /** Has a snapshot flattened when there is time, if its chain is long. */
  begin(id: string): void {
    if (this.#used.has(id) || !this.#exceeds(id, this.#options.limits.soft)) return;
    this.#queue.push(id);
    this.#next();
  }

  /** Waits until the layers of a snapshot can be opened; from then on they stay what they are. */
  async use(id: string, signal: AbortSignal): Promise<void> {
    this.#used.add(id);
    this.#queue = this.#queue.filter((queued) => queued !== id);
    if (!this.#exceeds(id, this.#options.limits.hard)) return await this.#stop(id);
    while (this.#exceeds(id, this.#options.limits.hard)) {
      const work = this.#work;
      if (!work) return await abortable(this.#start(id, true), signal);
      else if (work.id === id) await abortable(work.done, signal);
      else {
        if (!work.wanted) work.controller.abort(new Error("another snapshot is wanted"));
        await abortable(
          work.done.catch(() => {}),
          signal,
        );
      }
    }
  }

  /** Ends what is done to a snapshot that goes away. */
  async forget(id: string): Promise<void> {
    this.#queue = this.#queue.filter((queued) => queued !== id);
    await this.#stop(id);
    this.#used.delete(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    if (this.#work) await this.#stop(this.#work.id);
  }

  async #stop(id: string): Promise<void> {
    const work = this.#work;
    if (work?.id !== id) return;
    work.controller.abort(new Error(`the layers of ${id} are wanted`));
    await work.done.catch(() => {});
  }

  #next(): void {
    if (this.#work || this.#ended) return;
    const id = this.#queue.shift();
    if (id === undefined) return;
    this.#start(id, false).catch((err: unknown) => {
      this.#options.logger.warn({ err, snapshot: id }, "the disk of a snapshot was not flattened");
    });
  }

  #start(id: string, wanted: boolean): Promise<void> {
    const controller = new AbortController();
    const done = this.#flatten(id, controller.signal).finally(() => {
      this.#work = undefined;
      this.#next();
    });
    this.#work = { id, done, controller, wanted };
    return done;
  }

  async #flatten(id: string, signal: AbortSignal): Promise<void> {
    const { flattener, layers, layersOf, replace, logger } = this.#options;
    const before = layersOf(id);
    const kept = this.#keptOf(id, before);
    if (before.length - kept < 2) return;
    const path = layers.newPath();
    await using unused = new AsyncDisposableStack();
    unused.defer(() => layers.release(path, ownerOf(id)));
    layers.hold(path, ownerOf(id));
    await flattener.flatten({ layers: before, kept, path }, signal);
    await replace(id, [...before.slice(0, kept), { path, format: "qcow2" }]);
    unused.move();
    for (const layer of before.slice(kept)) await layers.release(layer.path, ownerOf(id));
    logger.info({ snapshot: id, layers: before.length, kept }, "the disk of a snapshot is flattened");
  }

  /**
   * How many of the lowest layers stay: those that other snapshots stand on as well, since flattening them would copy what
   * is there anyway. When that are many, only those that every capsule of the template has.
   */
  #keptOf(id: string, chain: readonly DiskLayer[]): number {
    const { layers, limits } = this.#options;
    const isHeldBy = (path: string, prefix: string) =>
      [...layers.holders(path)].some((holder) => holder !== ownerOf(id) && holder.startsWith(prefix));
    const prefix = (isKept: (layer: DiskLayer) => boolean) => {
      const end = chain.findIndex((layer) => !isKept(layer));
      return Math.max(1, end < 0 ? chain.length : end);
    };
    const shared = prefix(({ path, format }) => format === "raw" || isHeldBy(path, "snapshot:"));
    if (shared <= limits.soft / 2) return shared;
    return prefix(({ path, format }) => format === "raw" || isHeldBy(path, "snapshot:boot-"));
  }

  #exceeds(id: string, limit: number): boolean {
    return this.#options.layersOf(id).length > limit;
  }
}
