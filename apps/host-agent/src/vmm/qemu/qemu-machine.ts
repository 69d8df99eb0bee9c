import { join } from "node:path";
import type { ProcessIdentity } from "../../processes/identity.ts";
import type { Machine, MachineExit } from "../vmm.ts";
import { savedStatePath } from "./command-line.ts";
import { lastWords } from "./last-words.ts";
import { endQemu, type QemuProcess } from "./qemu-process.ts";

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
  readonly #qemu: QemuProcess;
  readonly #consolePath: string;

  /** @param started when its guest runs. */
  constructor(qemu: QemuProcess, guestUrl: string, runDir: string, started: Promise<void>) {
    this.#qemu = qemu;
    this.started = started;
    this.process = qemu.identity;
    this.exited = qemu.exited;
    this.guestUrl = guestUrl;
    this.#consolePath = consolePath(runDir);
  }

  async saveAndEnd(): Promise<void> {
    const { monitor } = this.#qemu;
    await monitor.execute("stop");
    // Despite its name this is QEMU's command for the device state alone; `live` would give up the disk's lock.
    await monitor.execute("xen-save-devices-state", { filename: savedStatePath, live: false });
    // QEMU closes the connection, sometimes before its answer is through.
    await monitor.execute("quit").catch(() => {});
    await this.exited;
  }

  async consoleTail(): Promise<string> {
    return await lastWords(this.#consolePath);
  }

  detach(): void {
    this.#qemu.detach();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endQemu(this.#qemu);
  }
}
