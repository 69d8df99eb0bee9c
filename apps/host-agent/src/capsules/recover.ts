import { rm } from "node:fs/promises";
import { join } from "node:path";
import { GuestAgent } from "../guest/guest-agent.ts";
import type { JournalContents } from "../journal/journal.ts";
import type { CapsuleRecord } from "../journal/record.ts";
import { endPasst } from "../network/passt.ts";
import { slotOf } from "../network/slot.ts";
import { findProcesses } from "../processes/find.ts";
import { endProcess } from "../processes/identity.ts";
import type { Machine } from "../vmm/vmm.ts";
import { Capsule } from "./capsule.ts";
import { holderOf } from "./held.ts";
import { Holdings } from "./holdings.ts";
import type { HostParts } from "./host-parts.ts";

/**
 * Takes up what an earlier life of this agent had under way. What runs is served again; a create that was not finished
 * is undone, a destroy is finished; a machine that ended meanwhile leaves its capsule in `error`.
 *
 * @returns the capsules that there are.
 */
export async function recoverCapsules(contents: JournalContents, parts: HostParts): Promise<Capsule[]> {
  const recovered = await Promise.all(contents.records.map((record) => recover(record, parts)));
  const unreadable = contents.unreadable.map((record) => quarantine(record, parts));
  return [...recovered, ...unreadable].filter((capsule) => capsule !== undefined);
}

async function recover(record: CapsuleRecord, parts: HostParts): Promise<Capsule | undefined> {
  const logger = parts.logger.child({ capsule: record.id, operation: record.operation });
  const holdings = holdRecorded(record, parts);
  switch (record.state) {
    case "running":
      return await adopt(record, holdings, { ...parts, logger });
    case "error": {
      await holdings[Symbol.asyncDispose]();
      return Capsule.recovered(record, { holdings }, parts);
    }
    case "starting":
    case "stopping": {
      const capsule = Capsule.recovered(record, { holdings }, parts);
      await capsule.release();
      await capsule.forget(record.state === "starting" ? "interrupted" : "destroyed");
      logger.warn({ state: record.state }, "settled what an earlier life of this agent had begun");
      return undefined;
    }
  }
}

/** Serves a running capsule again, or says that it has ended. */
async function adopt(record: CapsuleRecord, holdings: Holdings, parts: HostParts): Promise<Capsule> {
  const machine = await adoptMachine(record, parts);
  if (machine) {
    const guest = holdings.use(new GuestAgent(machine.guestUrl, record.accessToken ?? ""));
    parts.logger.info({ pid: machine.process.pid }, "capsule adopted");
    return Capsule.recovered(record, { holdings, running: { machine, guest } }, parts);
  }
  const capsule = Capsule.recovered(record, { holdings }, parts);
  capsule.fail("vmm_exited", "the machine ended while no agent ran");
  await capsule.release();
  parts.logger.error("the machine of a capsule ended while no agent ran");
  return capsule;
}

/** A machine that runs and cannot be reached is as good as ended: it is, when its holdings are let go of. */
async function adoptMachine(record: CapsuleRecord, parts: HostParts): Promise<Machine | undefined> {
  const { process, guestUrl, diskPath, slotIndex } = record;
  if (!process || !guestUrl || !diskPath) return undefined;
  const runDir = join(parts.layout.machines, record.id);
  try {
    const slot = slotIndex === undefined ? undefined : slotOf(slotIndex);
    return await parts.vmm.adopt({ process, guestUrl, runDir, ownLayers: [diskPath], slot }, parts.signal);
  } catch (err) {
    parts.signal.throwIfAborted();
    parts.logger.error({ err, pid: process.pid }, "a machine does not answer to its monitor");
    return undefined;
  }
}

/** Everything that a journal says may be there, and how it is let go of. */
function holdRecorded(record: CapsuleRecord, parts: HostParts): Holdings {
  const { layout, layers, slots } = parts;
  const { diskPath, slotIndex } = record;
  const runDir = join(layout.machines, record.id);
  const holdings = new Holdings(record.id, parts.journal);
  if (record.runDir) holdings.keep("run_dir", () => rm(runDir, { recursive: true, force: true }));
  if (diskPath) holdings.keep("disk", () => layers.release(diskPath, holderOf(record.id)));
  if (slots && slotIndex !== undefined) holdings.keep("slot", () => slots.release(slotOf(slotIndex)));
  if (record.machine) holdings.keep("machine", () => endMachine(record, runDir));
  return holdings;
}

/** Ends the VMM, also one that was started and never noted. */
async function endMachine({ process, slotIndex }: CapsuleRecord, runDir: string): Promise<void> {
  const slot = slotIndex === undefined ? {} : { namespacePath: slotOf(slotIndex).namespacePath };
  const found = await findProcesses({ dir: runDir, ...slot });
  await Promise.all([...found, ...(process ? [process] : [])].map(endProcess));
  await endPasst(runDir);
}

/** It may run or not, and nobody can tell whose what is: it is left as it is, and can only be destroyed. */
function quarantine(record: CapsuleRecord, parts: HostParts): Capsule {
  parts.logger.error(
    { capsule: record.id },
    "the journal of a capsule cannot be read; destroy it to free what it holds",
  );
  return Capsule.recovered(record, { holdings: holdRecorded(record, parts) }, parts);
}
