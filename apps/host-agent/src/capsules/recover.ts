import { GuestAgent } from "../guest/guest-agent.ts";
import type { JournalContents } from "../journal/journal.ts";
import type { CapsuleRecord } from "../journal/record.ts";
import { slotOf } from "../network/slot.ts";
import type { Machine } from "../vmm/vmm.ts";
import { Capsule } from "./capsule.ts";
import { capsuleHolder } from "./held.ts";
import type { HostParts } from "./host-parts.ts";
import { keepLayers } from "./keep-layers.ts";
import { machineHoldings, release, releaseAll, runDirOf, runHoldings } from "./release.ts";

/**
 * Takes up what an earlier life of this agent had under way. What runs is served again, and what is paused stays so. What
 * was not finished is undone, or, where its outcome is on the disk already, finished; a machine that ended meanwhile
 * leaves its capsule in `error`.
 *
 * @returns the capsules that there are.
 */
export async function recoverCapsules(contents: JournalContents, parts: HostParts): Promise<Capsule[]> {
  const forks = new Set(contents.records.map(({ forked }) => forked));
  const recovered = await Promise.all(
    contents.records.map((record) => recover(record, forks.has(record.forkOf), parts)),
  );
  const unreadable = contents.unreadable.map((record) => quarantine(record, parts));
  return [...recovered, ...unreadable].filter((capsule) => capsule.state !== "stopped");
}

/** @param isCopied it is one of several copies, and all of them were ready. */
async function recover(record: CapsuleRecord, isCopied: boolean, hostParts: HostParts): Promise<Capsule> {
  const logger = hostParts.logger.child({ capsule: record.id, operation: record.operation });
  const parts = { ...hostParts, logger };
  const capsule = Capsule.recovered(record, parts);
  if (record.forkOf !== undefined && isCopied) await runCopy(capsule, parts);
  await settle(capsule, parts);
  if (capsule.machine) capsule.takeRoom(parts.admission.take(capsule.size));
  if (capsule.state !== record.state) {
    const { state, reason } = capsule;
    logger.warn({ was: record.state, state, reason }, "settled what an earlier life of this agent had begun");
  }
  return capsule;
}

async function settle(capsule: Capsule, parts: HostParts): Promise<void> {
  const { state, snapshot, taking } = capsule.record;
  switch (state) {
    case "pending":
    case "stopped":
    case "starting":
      return await undo(capsule, "interrupted", parts);
    case "stopping":
      return await undo(capsule, "destroyed", parts);
    case "running":
      await adopt(capsule, parts);
      return await release(capsule, ["snapshot", "archive"], parts);
    case "pausing":
      if (snapshot === undefined || !parts.snapshots.has(snapshot)) return await goOn(capsule, parts);
      capsule.move({ step: "paused" });
      await capsule.sync();
      return await release(capsule, runHoldings, parts);
    case "snapshotting":
      await (capsule.record.machine ? goOn(capsule, parts) : stay(capsule));
      // What was taken is kept by its name, or by the copies that were made of it.
      if (taking !== undefined) parts.snapshots.release(taking, capsuleHolder(capsule.id));
      return;
    case "resuming":
      return await undoResume(capsule, parts);
    case "hibernating":
      stay(capsule);
      return await release(capsule, ["archive"], parts);
    case "paused":
      return await release(capsule, [...runHoldings, "archive"], parts);
    case "hibernated":
      return await release(capsule, [...runHoldings, "snapshot"], parts);
    case "error":
      // Where its disk has become a snapshot, that is what there is of it.
      return await release(capsule, capsule.record.snapshot ? runHoldings : machineHoldings, parts);
  }
}

/** It was ready, and all that was missing was the line that says so. */
async function runCopy(capsule: Capsule, parts: HostParts): Promise<void> {
  const { source, accessToken } = capsule.record;
  if (capsule.state !== "starting" || source === undefined || accessToken === undefined) return;
  const { versions } = parts.snapshots.manifest(source);
  capsule.move({ step: "running", startedAt: new Date().toISOString(), versions });
}

async function undoResume(capsule: Capsule, parts: HostParts): Promise<void> {
  const { resumedFrom, snapshot } = capsule.record;
  const interrupted = { reason: "interrupted" };
  switch (resumedFrom) {
    case "error": {
      const isKept = snapshot !== undefined && parts.snapshots.has(snapshot);
      await release(capsule, isKept ? runHoldings : [...machineHoldings, "snapshot"], parts);
      return capsule.move({ step: "failed", ...interrupted });
    }
    case "hibernated":
      await release(capsule, [...runHoldings, "snapshot"], parts);
      return capsule.move({ step: "stayed", state: "hibernated", ...interrupted });
    default:
      await release(capsule, runHoldings, parts);
      return stay(capsule);
  }
}

async function undo(capsule: Capsule, reason: string, parts: HostParts): Promise<void> {
  await releaseAll(capsule, parts);
  await capsule.forget(reason);
}

/** What was begun had not come far enough: the machine runs on, if it is still there. */
async function goOn(capsule: Capsule, parts: HostParts): Promise<void> {
  capsule.move({ step: "went_on", reason: "interrupted" });
  await adopt(capsule, parts);
}

function stay(capsule: Capsule): void {
  capsule.move({ step: "stayed", state: "paused", reason: "interrupted" });
}

/** Serves a running capsule again, or says that it has ended. */
async function adopt(capsule: Capsule, parts: HostParts): Promise<void> {
  const { record } = capsule;
  const machine = await adoptMachine(record, parts);
  if (machine) {
    capsule.attach({ machine, guest: new GuestAgent(machine.guestUrl, record.accessToken ?? "") });
    await forgetUnusedLayers(capsule, machine, parts);
    parts.logger.info({ pid: machine.process.pid }, "capsule adopted");
    return;
  }
  const detail = "the machine ended while no agent ran";
  parts.logger.error(detail);
  capsule.move({ step: "failed", reason: "vmm_exited", detail });
  await release(capsule, machineHoldings, parts);
}

/** A layer was noted before the machine went over to it, if it ever did. The machine knows. */
async function forgetUnusedLayers(capsule: Capsule, { ownLayers }: Machine, parts: HostParts): Promise<void> {
  if (ownLayers.length === capsule.record.ownLayers.length) return;
  await keepLayers(capsule, ownLayers, parts);
}

/** A machine that runs and cannot be reached is as good as ended: it is, when its holdings are let go of. */
async function adoptMachine(record: CapsuleRecord, parts: HostParts): Promise<Machine | undefined> {
  const { process, guestUrl, ownLayers, slotIndex } = record;
  if (!process || !guestUrl || ownLayers.length === 0) return undefined;
  try {
    const slot = slotIndex === undefined ? undefined : slotOf(slotIndex);
    const runDir = runDirOf(record, parts);
    return await parts.vmm.adopt({ process, guestUrl, runDir, ownLayers, slot }, parts.signal);
  } catch (err) {
    parts.signal.throwIfAborted();
    parts.logger.error({ err, pid: process.pid }, "a machine does not answer to its monitor");
    return undefined;
  }
}

/** It may run or not, and nobody can tell whose what is: it is left as it is, and can only be destroyed. */
function quarantine(record: CapsuleRecord, parts: HostParts): Capsule {
  parts.logger.error(
    { capsule: record.id },
    "the journal of a capsule cannot be read; destroy it to free what it holds",
  );
  return Capsule.recovered(record, parts);
}
