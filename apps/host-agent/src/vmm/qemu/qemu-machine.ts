import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import type { ProcessIdentity } from "../../processes/identity.ts";
import type { Machine, MachineExit } from "../vmm.ts";
import { loadedStateUri, savedStatePath } from "./command-line.ts";
import { lastWords } from "./last-words.ts";
import { endOnAbort, endQemu, type QemuProcess } from "./qemu-process.ts";

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
  readonly #qemu: QemuProcess;
  readonly #consolePath: string;

  constructor(qemu: QemuProcess, guestUrl: string, runDir: string) {
    this.#qemu = qemu;
    this.process = qemu.identity;
    this.exited = qemu.exited;
    this.guestUrl = guestUrl;
    this.#consolePath = consolePath(runDir);
  }

  /** Loads the device state from the inherited descriptor and lets the guest run. */
  async resume(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    using _ = endOnAbort(this.#qemu, signal);
    await this.#loadState();
    await this.#qemu.monitor.execute("cont");
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

  /** The memory is in a file of its own; what is loaded is the state of the devices. */
  async #loadState(): Promise<void> {
    const { monitor } = this.#qemu;
    const capabilities = [{ capability: "events", state: true }];
    await monitor.execute("migrate-set-capabilities", { capabilities });
    const { promise: completed, resolve, reject } = Promise.withResolvers<void>();
    const unsubscribe = monitor.on("MIGRATION", ({ status }) => {
      if (status === "completed") resolve();
      if (status === "failed")
        reject(new WrennError("agent_error", "QEMU cannot load the snapshot's device state"));
    });
    const gone = this.exited.then(({ lastWords }) => {
      throw new WrennError(
        "agent_error",
        `QEMU ended while it loaded a snapshot: ${lastWords || "it said nothing"}`,
      );
    });
    const loading = monitor.execute("migrate-incoming", { uri: loadedStateUri });
    try {
      await Promise.race([Promise.all([loading, completed]), gone]);
    } finally {
      unsubscribe();
    }
  }
}
