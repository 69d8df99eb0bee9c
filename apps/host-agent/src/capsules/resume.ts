import { WrennError } from "@wrenn/contracts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";
import { noteCommand, requireState } from "./commands.ts";
import { explain, hostError } from "./host-error.ts";
import type { HostParts } from "./host-parts.ts";
import { machineHoldings, release, runHoldings } from "./release.ts";
import { openResumeSource } from "./resume-source.ts";
import { startMachine } from "./start-machine.ts";
import { watchMachine } from "./watch-machine.ts";

export interface ResumeRequest extends CapsuleCommand {
  /** Starts its kernel on the disk, without the memory. */
  readonly fromDisk: boolean;
}

/** Starts a paused or hibernated capsule where it was paused. What fails leaves it as it was. */
export async function resumeCapsule(
  capsule: Capsule,
  request: ResumeRequest,
  parts: HostParts,
): Promise<void> {
  if (capsule.state === "running") return noteCommand(capsule, request);
  const { operation, generation, fromDisk } = request;
  requireState(capsule, request, fromDisk ? ["paused", "hibernated", "error"] : ["paused", "hibernated"]);
  requireDisk(capsule, request);
  const began = performance.now();
  capsule.move({ step: "resume", operation, generation, fromDisk });
  try {
    await restore(capsule, fromDisk, parts);
  } catch (error) {
    await goBack(capsule, error, parts);
    throw hostError(error);
  }
  watchMachine(capsule, parts);
  parts.logger.info({ resumeMs: Math.round(performance.now() - began), fromDisk }, "capsule resumed");
  // Its machine holds what it stands on. What stays now goes when the agent starts again.
  await release(capsule, ["snapshot", "archive"], parts).catch((err: unknown) => {
    parts.logger.error({ err }, "a release failed");
  });
}

/** @throws {WrennError} `invalid_state` for a capsule in error of which nothing is left. */
function requireDisk(capsule: Capsule, request: ResumeRequest): void {
  const { state, reason, snapshot, source, ownLayers } = capsule.record;
  const isLeft = snapshot !== undefined || (source !== undefined && ownLayers.length > 0);
  // Of what a journal says that cannot be read, nobody knows what is so.
  if (state !== "error" || (isLeft && reason !== "journal_unreadable")) return;
  noteCommand(capsule, request);
  throw new WrennError(
    "invalid_state",
    `capsule ${capsule.id} has left no disk that it could be started from`,
  );
}

async function restore(capsule: Capsule, fromDisk: boolean, parts: HostParts): Promise<void> {
  const { resumedFrom } = capsule.record;
  // What could not be let go of when its last machine ended.
  await release(capsule, resumedFrom === "error" ? machineHoldings : runHoldings, parts);
  await using held = new AsyncDisposableStack();
  const source = await openResumeSource(capsule, fromDisk, held, parts);
  // A kernel that has just been started knows nothing of who it was.
  await using started = await startMachine(capsule, source, fromDisk ? "clone" : "resume", parts);
  const startedAt = new Date().toISOString();
  capsule.move({ step: "running", startedAt, versions: source.versions });
  started.move();
}

async function goBack(capsule: Capsule, error: unknown, parts: HostParts): Promise<void> {
  const { resumedFrom, snapshot } = capsule.record;
  if (resumedFrom === "error") {
    if (snapshot !== undefined && !parts.snapshots.has(snapshot)) await release(capsule, ["snapshot"], parts);
    return capsule.move({ step: "failed", ...explain(error) });
  }
  if (resumedFrom !== "hibernated") {
    return capsule.move({ step: "stayed", state: "paused", ...explain(error) });
  }
  capsule.move({ step: "stayed", state: "hibernated", ...explain(error) });
  await release(capsule, ["snapshot"], parts);
}
