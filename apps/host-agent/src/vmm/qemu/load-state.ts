import { WrennError } from "@wrenn/contracts";
import { loadedStateUri } from "./command-line.ts";
import type { QmpClient } from "./qmp-client.ts";

/**
 * Makes a QEMU that waits for a device state load it and let its guest run. Everything is sent at once: `cont` while
 * the state is being loaded says that the guest is to run as soon as it is.
 *
 * @returns a promise for the moment at which the guest runs.
 */
export async function loadState(monitor: QmpClient): Promise<void> {
  const { promise: loaded, resolve, reject } = Promise.withResolvers<void>();
  const unsubscribe = monitor.on("MIGRATION", ({ status }) => {
    if (status === "completed") resolve();
    if (status === "failed") reject(loadError("QEMU cannot load the snapshot's device state"));
  });
  const capabilities = [{ capability: "events", state: true }];
  const answers = [
    monitor.execute("migrate-set-capabilities", { capabilities }),
    monitor.execute("migrate-incoming", { uri: loadedStateUri }),
    monitor.execute("cont"),
  ];
  const ended = monitor.closed.then(() => {
    throw loadError("QEMU ended while it loaded a snapshot");
  });
  try {
    await Promise.race([Promise.all([...answers, loaded]), ended]);
  } finally {
    unsubscribe();
  }
}

function loadError(sentence: string): WrennError {
  return new WrennError("agent_error", sentence);
}
