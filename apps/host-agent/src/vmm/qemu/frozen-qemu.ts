import type { Confiner, Place } from "../../confinement/confiner.ts";
import { writeDeviceState } from "../device-state.ts";
import type { Frozen, SavedState, SaveOptions } from "../frozen.ts";
import type { PageRuns } from "../memory/page-runs.ts";
import { saveMemory } from "../memory/save-memory.ts";
import type { GuestMemory } from "./guest-memory.ts";
import type { MachineDisk } from "./machine-disk.ts";
import { type PageCopy, portionPages } from "./page-copy.ts";
import { endQemu, type QemuProcess } from "./qemu-process.ts";

/** What a machine consists of, for who freezes it. */
export interface FrozenParts {
  readonly qemu: QemuProcess;
  readonly disk: MachineDisk;
  readonly confiner: Confiner;
  readonly place: Place;
  readonly runDir: string;
}

/** What was taken hold of while the guest was stopped. */
export interface Taken {
  /** By `performance.now()`. */
  readonly stoppedAt: number;
  readonly ownLayers: readonly string[];
  readonly deviceState: Buffer;
  readonly memory: GuestMemory;
  readonly runs: PageRuns;
  /** Absent when the pages are read from the guest, which stays stopped. */
  readonly copy: PageCopy | undefined;
}

/** A QEMU whose guest is stopped, or was. */
export class FrozenQemu implements Frozen {
  readonly #parts: FrozenParts;
  readonly #taken: Taken;
  #stopped = true;

  constructor(parts: FrozenParts, taken: Taken) {
    this.#parts = parts;
    this.#taken = taken;
  }

  get dirtyBytes(): number {
    return this.#taken.runs.bytes;
  }

  get ownLayers(): readonly string[] {
    return this.#taken.ownLayers;
  }

  async thaw(): Promise<number> {
    const { qemu, disk } = this.#parts;
    const { stoppedAt, copy } = this.#taken;
    if (!this.#stopped) throw new RangeError("the guest is not stopped");
    this.#letGo();
    await qemu.monitor.execute("cont");
    const stoppedMs = performance.now() - stoppedAt;
    if (copy) await disk.releaseFrozen();
    return stoppedMs;
  }

  async save({ dir, baseId, basePath }: SaveOptions, signal: AbortSignal): Promise<SavedState> {
    const { memory, runs, copy, deviceState } = this.#taken;
    if (!copy && !this.#stopped) throw new RangeError("the guest runs, and what it was is gone");
    const pages = copy?.pieces ?? memory.pieces(runs, portionPages);
    await saveMemory(dir, { header: { memoryBytes: memory.bytes, baseId, runs }, pages, basePath }, signal);
    // After the memory: a memory image that is younger than the device state was changed by somebody else.
    return await writeDeviceState(dir, deviceState);
  }

  async end(): Promise<void> {
    if (this.#stopped) this.#letGo();
    await endQemu(this.#parts.qemu);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stopped) await this.thaw();
  }

  #letGo(): void {
    this.#stopped = false;
    this.#taken.memory[Symbol.dispose]();
  }
}
