import { WrennError } from "@wrenn/contracts";
import type { MachineExit } from "../vmm.ts";
import { loadedStateUri } from "./command-line.ts";
import type { QmpClient } from "./qmp-client.ts";

/**
 * Makes a QEMU that waits for a device state load it and let its guest run. Everything is sent at once: `cont` while
 * the state is being loaded says that the guest is to run as soon as it is.
 *
 * @param exited of the process: one that cannot load a state says why and ends.
 * @returns a promise for the moment at which the guest runs.
 */
export async function loadState(monitor: QmpClient, exited: Promise<MachineExit>): Promise<void> {
  const { promise: loaded, resolve, reject } = Promise.withResolvers<void>();
  const unsubscribe = monitor.on("MIGRATION", ({ status }) => {
    if (status === "completed") resolve();
  });
  void monitor.closed.then(() => reject(new Error("the monitor connection is closed")));
  const capabilities = [{ capability: "events", state: true }];
  try {
    await Promise.all([
      monitor.execute("migrate-set-capabilities", { capabilities }),
      monitor.execute("migrate-incoming", { uri: loadedStateUri }),
      monitor.execute("cont"),
      loaded,
    ]);
  } catch (cause) {
    // What QEMU refuses is in its answer.
    if (cause instanceof WrennError) throw cause;
    const { lastWords } = await exited;
    const sentence = `QEMU ended while it loaded a snapshot: ${lastWords || "it said nothing"}`;
    throw new WrennError("agent_error", sentence, { cause });
  } finally {
    unsubscribe();
  }
}
