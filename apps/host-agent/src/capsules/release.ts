import { rm } from "node:fs/promises";
import { join } from "node:path";
import { exists } from "../disk-files.ts";
import { type Holding, holdings } from "../journal/entry.ts";
import type { CapsuleRecord } from "../journal/record.ts";
import { endPasst } from "../network/passt.ts";
import { slotOf } from "../network/slot.ts";
import { findProcesses } from "../processes/find.ts";
import { endProcess } from "../processes/identity.ts";
import type { Capsule } from "./capsule.ts";
import { capsuleHolder, machineHolder } from "./held.ts";
import type { HostParts } from "./host-parts.ts";

/** What a capsule needs only while it runs. */
export const machineHoldings = ["machine", "run_dir", "slot"] as const;

/** What a capsule has that runs, or is about to: its machine, and the disk of that. */
export const runHoldings = [...machineHoldings, "disk", "source"] as const;

/**
 * Lets go of what a capsule holds by its record, in the order in which that is let go of, each noted before it is done.
 * When one fails, those after it stay: a disk is not taken from a machine that could not be ended.
 */
export async function release(
  capsule: Capsule,
  released: readonly Holding[],
  parts: HostParts,
): Promise<void> {
  for (const holding of holdings) if (released.includes(holding)) await releaseOne(capsule, holding, parts);
}

/** Lets go of everything. */
export async function releaseAll(capsule: Capsule, parts: HostParts): Promise<void> {
  await release(capsule, holdings, parts);
}

async function releaseOne(capsule: Capsule, holding: Holding, parts: HostParts): Promise<void> {
  // By the record as it is before it says that this is released.
  const letGo = releases[holding](capsule, parts);
  if (letGo) {
    capsule.note({ step: "release", holding });
    await letGo();
  }
  if (holding === "machine") capsule.giveRoomBack();
}

/** @returns how it is let go of, or undefined when it is not held. */
type Release = (capsule: Capsule, parts: HostParts) => (() => unknown) | undefined;

const releases: Readonly<Record<Holding, Release>> = {
  machine: (capsule, parts) => (capsule.record.machine ? () => endMachine(capsule, parts) : undefined),
  run_dir: ({ record }, parts) =>
    record.runDir ? () => rm(runDirOf(record, parts), { recursive: true, force: true }) : undefined,
  slot({ record: { slotIndex } }, { slots }) {
    return slotIndex === undefined ? undefined : () => slots?.release(slotOf(slotIndex));
  },
  disk({ id, record: { ownLayers } }, { layers }) {
    const letGo = () => Promise.all(ownLayers.map((path) => layers.release(path, machineHolder(id))));
    return ownLayers.length === 0 ? undefined : letGo;
  },
  source({ id, record: { source } }, { snapshots }) {
    return source === undefined ? undefined : () => snapshots.release(source, machineHolder(id));
  },
  snapshot({ id, record: { snapshot } }, { snapshots }) {
    return snapshot === undefined ? undefined : () => snapshots.release(snapshot, capsuleHolder(id));
  },
  archive({ record: { archived } }, { archive }) {
    return archived === undefined ? undefined : () => archive.remove(archived);
  },
};

/** Where its machine keeps sockets and logs. */
export function runDirOf({ id, runDirName = id }: CapsuleRecord, { layout }: HostParts): string {
  return join(layout.machines, runDirName);
}

/** Ends the VMM, also one that was started and never noted. */
async function endMachine(capsule: Capsule, parts: HostParts): Promise<void> {
  const { record } = capsule;
  const running = capsule.detach();
  await using _ = running?.guest;
  if (running) return await running.machine[Symbol.asyncDispose]();
  if (record.process) await endProcess(record.process);
  const runDir = runDirOf(record, parts);
  // Its directory is the last that goes of a machine.
  if (!(await exists(runDir))) return;
  const slot =
    record.slotIndex === undefined ? {} : { namespacePath: slotOf(record.slotIndex).namespacePath };
  await Promise.all((await findProcesses({ dir: runDir, ...slot })).map(endProcess));
  await endPasst(runDir);
}
