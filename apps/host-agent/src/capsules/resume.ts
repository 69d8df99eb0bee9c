import { WrennError } from "@wrenn/contracts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";
import { noteCommand, requireState } from "./commands.ts";
import { explain, hostError } from "./host-error.ts";
import type { HostParts } from "./host-parts.ts";
import { release, runHoldings } from "./release.ts";
import { startMachine } from "./start-machine.ts";
import { watchMachine } from "./watch-machine.ts";

export interface ResumeRequest extends CapsuleCommand {
  /** Starts its kernel on the disk, without the memory. */
  readonly fromDisk: boolean;
}

/** Starts a paused capsule where it was paused. What fails leaves it paused. */
export async function resumeCapsule(
  capsule: Capsule,
  request: ResumeRequest,
  parts: HostParts,
): Promise<void> {
  if (capsule.state === "running") return noteCommand(capsule, request);
  requireState(capsule, request, ["paused"]);
  const { operation, generation, fromDisk } = request;
  const began = performance.now();
  capsule.move({ step: "resume", operation, generation, fromDisk });
  try {
    // What a pause could not let go of.
    await release(capsule, runHoldings, parts);
    const source = await sourceOf(capsule, parts);
    await using started = await startMachine(capsule, source, "resume", parts);
    const startedAt = new Date().toISOString();
    capsule.move({ step: "running", startedAt, versions: source.versions });
    started.move();
  } catch (error) {
    capsule.move({ step: "stayed", state: "paused", ...explain(error) });
    throw hostError(error);
  }
  watchMachine(capsule, parts);
  parts.logger.info({ resumeMs: Math.round(performance.now() - began) }, "capsule resumed");
  // Its machine holds it from now on.
  await release(capsule, ["snapshot"], parts);
}

async function sourceOf({ id, record }: Capsule, { snapshots, signal }: HostParts): Promise<RestoreSource> {
  if (record.snapshot !== undefined) return await snapshots.source(record.snapshot, signal);
  throw new WrennError("snapshot_corrupt", `capsule ${id} is paused and names no snapshot`);
}
