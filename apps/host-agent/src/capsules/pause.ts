import { newId } from "@wrenn/contracts";
import type { Machine } from "../vmm/vmm.ts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";
import { noteCommand, requireState } from "./commands.ts";
import { explain, hostError } from "./host-error.ts";
import type { HostParts } from "./host-parts.ts";
import { release, runHoldings } from "./release.ts";
import { saveSnapshot, snapshotReserveBytes } from "./save-snapshot.ts";

/** Why a capsule is paused when no command says so. */
export interface PauseReason {
  readonly reason?: string;
}

/**
 * Saves memory and disk of a capsule, and ends its machine. What fails before the snapshot is one leaves the capsule
 * running.
 */
export async function pauseCapsule(
  capsule: Capsule,
  command: CapsuleCommand,
  parts: HostParts,
  because: PauseReason = {},
): Promise<void> {
  if (capsule.state === "paused") return noteCommand(capsule, command);
  requireState(capsule, command, ["running"]);
  const { machine } = capsule.running;
  const { operation, generation } = command;
  const snapshot = newId("snapshot");
  const began = performance.now();
  // The time that has run out is counted anew when the capsule is resumed.
  const ranMs = because.reason === "max_run_time" ? 0 : Math.round(capsule.time.ranMs);
  capsule.move({ step: "pause", operation, generation, snapshot, ...because, ranMs });
  try {
    await saveAndEnd(capsule, machine, snapshot, parts, because);
  } catch (error) {
    capsule.move({ step: "went_on", ...explain(error) });
    throw hostError(error);
  }
  await capsule.sync();
  // What cannot be let go of now is before the capsule is resumed, or when the agent starts again.
  await release(capsule, runHoldings, parts).catch((err: unknown) => {
    parts.logger.error({ err }, "a release failed");
  });
  parts.logger.info({ pauseMs: Math.round(performance.now() - began), snapshot }, "capsule paused");
}

async function saveAndEnd(
  capsule: Capsule,
  machine: Machine,
  snapshot: string,
  parts: HostParts,
  because: PauseReason,
): Promise<void> {
  const { snapshots, logger, signal } = parts;
  await snapshots.checkRoom((await machine.dirtyBytes()) + snapshotReserveBytes);
  await using draft = await snapshots.begin(snapshot);
  await using frozen = await machine.freeze({}, signal);
  await saveSnapshot(capsule, frozen, draft, "pause", parts);
  capsule.move({ step: "paused", ...because });
  // It is paused, whatever becomes of the machine: what does not end now is ended with the rest.
  await frozen.end().catch((err: unknown) => logger.error({ err }, "a paused machine did not end"));
}
