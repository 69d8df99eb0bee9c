import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import type { ProcessIdentity } from "../../processes/identity.ts";
import type { FreezeOptions, Frozen } from "../frozen.ts";
import type { Halt, Machine, MachineExit } from "../vmm.ts";
import { savedStatePath } from "./command-line.ts";
import { freezeQemu } from "./freeze.ts";
import type { FrozenParts } from "./frozen-qemu.ts";
import { GuestMemory } from "./guest-memory.ts";
import { HaltWatch } from "./halt-watch.ts";
import { lastWords } from "./last-words.ts";
import { endQemu } from "./qemu-process.ts";

/** A boot's console goes to this file of its run directory. */
export function consolePath(runDir: string): string {
  return join(runDir, "console.log");
}

/** One QEMU process as a machine. */
export class QemuMachine implements Machine {
  readonly process: ProcessIdentity;
  readonly guestUrl: string;
  readonly ownsKernel = true;
  readonly exited: Promise<MachineExit>;
  readonly started: Promise<void>;
  readonly #parts: FrozenParts;
  readonly #halts: HaltWatch;
  #busy = false;

  /** @param started when its guest runs. */
  constructor(parts: FrozenParts, guestUrl: string, started: Promise<void>) {
    this.#parts = parts;
    this.started = started;
    this.process = parts.qemu.identity;
    this.exited = parts.qemu.exited;
    this.guestUrl = guestUrl;
    this.#halts = new HaltWatch(parts.qemu.monitor);
  }

  get ownLayers(): readonly string[] {
    return this.#parts.disk.layers;
  }

  get halt(): Halt | undefined {
    return this.#halts.halt;
  }

  onHalt(listener: (halt: Halt) => void): Disposable {
    return this.#halts.onHalt(listener);
  }

  async goOn(): Promise<void> {
    await this.#parts.qemu.monitor.execute("cont");
  }

  /** Learns from a machine that was taken over what an earlier life of this agent knew of it. */
  async recognise(): Promise<void> {
    await this.#halts.recognise();
    await this.#parts.disk.recognise();
  }

  async saveAndEnd(): Promise<void> {
    const { monitor } = this.#parts.qemu;
    await monitor.execute("stop");
    // Despite its name this is QEMU's command for the device state alone; `live` would give up the disk's lock.
    await monitor.execute("xen-save-devices-state", { filename: savedStatePath, live: false });
    // QEMU closes the connection, sometimes before its answer is through.
    await monitor.execute("quit").catch(() => {});
    await this.exited;
  }

  async dirtyBytes(): Promise<number> {
    using memory = await GuestMemory.open(this.process.pid);
    return (await memory.dirtyPages()).bytes;
  }

  async freeze(options: FreezeOptions, signal: AbortSignal): Promise<Frozen> {
    if (this.halt) throw new WrennError("host_disk_full", "the guest has stopped: this host's disk is full");
    return await this.#alone(() => freezeQemu(this.#parts, options, signal));
  }

  async shortenDisk(signal: AbortSignal): Promise<void> {
    await this.#alone(() => this.#parts.disk.shorten(signal));
  }

  async resizeDisk(bytes: number): Promise<void> {
    await this.#parts.disk.grow(bytes);
  }

  /** Work on the disk's layers is done one at a time; who uses the machine sees to that. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    if (this.#busy) throw new RangeError("the machine's disk is being worked on already");
    this.#busy = true;
    try {
      return await work();
    } finally {
      this.#busy = false;
    }
  }

  async consoleTail(): Promise<string> {
    return await lastWords(consolePath(this.#parts.runDir));
  }

  detach(): void {
    this.#parts.qemu.detach();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endQemu(this.#parts.qemu);
  }
}
