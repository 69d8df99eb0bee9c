import { WrennError } from "@wrenn/contracts";
import { writeDeviceState } from "../device-state.ts";
import type { FreezeOptions, Frozen, SavedState, SaveOptions } from "../frozen.ts";
import { saveMemory } from "../memory/save-memory.ts";
import type { DirtyMemory, SimulatedParts } from "./simulated-parts.ts";

/** What a machine lets its frozen self do. */
interface Controls {
  readonly thaw: () => Promise<number>;
  readonly end: () => Promise<void>;
}

/** A simulated machine that is stopped, or was. */
export class SimulatedFrozen implements Frozen {
  readonly ownLayers: readonly string[];
  readonly #memoryBytes: number;
  readonly #dirty: DirtyMemory;
  readonly #controls: Controls;
  readonly #isLive: boolean;
  #stopped = true;

  private constructor(parts: SimulatedParts, dirty: DirtyMemory, isLive: boolean, controls: Controls) {
    this.ownLayers = parts.layers;
    this.#memoryBytes = parts.memoryBytes;
    this.#dirty = dirty;
    this.#isLive = isLive;
    this.#controls = controls;
  }

  static async take(
    parts: SimulatedParts,
    { nextLayerPath, maxCopyBytes = Number.POSITIVE_INFINITY }: FreezeOptions,
    controls: Controls,
  ): Promise<SimulatedFrozen> {
    const dirty = await parts.dirtyMemory();
    const { bytes } = dirty.runs;
    if (nextLayerPath !== undefined && bytes > maxCopyBytes) {
      const sentence = `the machine has changed ${bytes} bytes of its memory, and there is room for ${maxCopyBytes}`;
      throw new WrennError("host_memory_full", sentence);
    }
    const frozen = new SimulatedFrozen(parts, dirty, nextLayerPath !== undefined, controls);
    if (nextLayerPath !== undefined) await parts.goOver(nextLayerPath);
    return frozen;
  }

  get dirtyBytes(): number {
    return this.#dirty.runs.bytes;
  }

  async thaw(): Promise<number> {
    if (!this.#stopped) throw new RangeError("the guest is not stopped");
    this.#stopped = false;
    return await this.#controls.thaw();
  }

  async save({ dir, baseId, basePath }: SaveOptions, signal: AbortSignal): Promise<SavedState> {
    if (!this.#isLive && !this.#stopped) throw new RangeError("the guest runs, and what it was is gone");
    const { runs, pages } = this.#dirty;
    const header = { memoryBytes: this.#memoryBytes, baseId, runs };
    await saveMemory(dir, { header, pages, basePath }, signal);
    return await writeDeviceState(dir, Buffer.from("simulated"));
  }

  async end(): Promise<void> {
    this.#stopped = false;
    await this.#controls.end();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopped) await this.thaw();
  }
}
