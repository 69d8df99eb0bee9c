import { Type } from "typebox";
import type { Halt } from "../vmm.ts";
import { ask } from "./ask.ts";
import type { QmpClient } from "./qmp-client.ts";

const Status = Type.Object({ status: Type.String() });

/**
 * Notices that QEMU has stopped its guest because a write to the disk failed for want of space: it keeps the request, and
 * does it again when the guest goes on.
 */
export class HaltWatch {
  readonly #monitor: QmpClient;
  readonly #listeners = new Set<(halt: Halt) => void>();
  #halt: Halt | undefined;

  constructor(monitor: QmpClient) {
    this.#monitor = monitor;
    // Each request that fails has its event; the guest is stopped by the first.
    monitor.on("BLOCK_IO_ERROR", ({ action }) => {
      if (action === "stop" && this.#halt === undefined) this.#set("host_disk_full");
    });
    monitor.on("RESUME", () => {
      this.#halt = undefined;
    });
  }

  get halt(): Halt | undefined {
    return this.#halt;
  }

  onHalt(listener: (halt: Halt) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Asks how the guest of a machine is that was taken over. One that was being frozen goes on. */
  async recognise(): Promise<void> {
    const { status } = await ask(this.#monitor, "query-status", {}, Status);
    if (status === "io-error") this.#set("host_disk_full");
    if (status === "paused") await this.#monitor.execute("cont");
  }

  #set(halt: Halt): void {
    this.#halt = halt;
    for (const listener of this.#listeners) listener(halt);
  }
}
