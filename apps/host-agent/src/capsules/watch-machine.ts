import type { MachineExit } from "../vmm/vmm.ts";
import type { Capsule } from "./capsule.ts";
import type { HostParts } from "./host-parts.ts";
import { machineHoldings, release } from "./release.ts";
import { watchHalts } from "./watch-halts.ts";

/**
 * Notices when the machine of a running capsule ends by itself, and lets go of what only that needed. The disk stays: it
 * can be started from that.
 */
export function watchMachine(capsule: Capsule, parts: HostParts): void {
  const { machine } = capsule.running;
  // Nobody waits for it: what runs has lost its memory anyway when the power is cut, and an older line its disk.
  capsule.operations.runInBackground(() => sync(capsule, parts));
  watchHalts(capsule, machine, parts);
  const ended = async (exit: MachineExit): Promise<void> => {
    // One that was ended by an operation is not the capsule's any more.
    if (capsule.machine !== machine || capsule.state !== "running") return;
    parts.logger.error({ ...exit }, "the machine of a running capsule ended");
    parts.metrics.vmmExited();
    capsule.move({ step: "failed", reason: "vmm_exited", detail: exit.lastWords });
    await release(capsule, machineHoldings, parts);
  };
  void machine.exited.then(async (exit) => {
    try {
      await capsule.operations.run(`end of ${machine.process.pid}`, () => ended(exit));
    } catch (err) {
      // Whoever destroys the capsule lets go of the rest.
      if (!capsule.operations.isEnding) parts.logger.error({ err }, "a release failed");
    }
  });
}

async function sync(capsule: Capsule, { logger }: HostParts): Promise<void> {
  await capsule.sync().catch((err: unknown) => logger.warn({ err }, "a journal could not be synced"));
}
