import { freemem } from "node:os";
import { isId, WrennError } from "@wrenn/contracts";
import type { SnapshotKind } from "../snapshots/manifest.ts";
import type { Machine } from "../vmm/vmm.ts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";
import { noteCommand, requireState } from "./commands.ts";
import { machineHolder } from "./held.ts";
import { explain, hostError } from "./host-error.ts";
import type { HostParts } from "./host-parts.ts";
import { keepLayers } from "./keep-layers.ts";
import { saveSnapshot, snapshotReserveBytes } from "./save-snapshot.ts";
import { shortenLongDisk } from "./shorten-disk.ts";

/** Memory that a copy of dirty pages leaves to the host. */
const memoryReserveBytes = 256 * 1024 * 1024;

export interface SnapshotRequest extends CapsuleCommand {
  /** Of the snapshot. One that is there already is what an earlier call made. */
  readonly snapshot: string;
}

/** Takes a snapshot that capsules are created from by its name. */
export async function snapshotCapsule(
  capsule: Capsule,
  request: SnapshotRequest,
  parts: HostParts,
): Promise<void> {
  if (!isId("snapshot", request.snapshot)) {
    const sentence = `${JSON.stringify(request.snapshot)} is not a snapshot id`;
    throw new WrennError("invalid_request", sentence, { field: "snapshot_id" });
  }
  if (parts.snapshots.has(request.snapshot)) return noteCommand(capsule, request);
  requireState(capsule, request, ["running", "paused"]);
  if (capsule.state === "running") await takeLive(capsule, request, "template", parts);
  else await copyPaused(capsule, request, parts);
}

/**
 * Takes a snapshot of a running capsule, which stops for a moment and goes on. The capsule holds it until the caller lets
 * go of that.
 */
export async function takeLive(
  capsule: Capsule,
  { operation, generation, snapshot }: SnapshotRequest,
  kind: SnapshotKind,
  parts: HostParts,
): Promise<void> {
  const { machine } = capsule.running;
  capsule.move({ step: "snapshot", operation, generation, snapshot });
  try {
    await take(capsule, machine, snapshot, kind, parts);
  } catch (error) {
    capsule.move({ step: "went_on", ...explain(error) });
    throw hostError(error);
  }
  capsule.move({ step: "went_on" });
  shortenLongDisk(capsule, machine, parts);
}

async function take(
  capsule: Capsule,
  machine: Machine,
  snapshot: string,
  kind: SnapshotKind,
  parts: HostParts,
): Promise<void> {
  const { snapshots, logger, signal } = parts;
  await snapshots.checkRoom((await machine.dirtyBytes()) + snapshotReserveBytes);
  await using draft = await snapshots.begin(snapshot);
  await using layer = await nextLayer(capsule, machine, parts);
  const maxCopyBytes = Math.max(0, freemem() - memoryReserveBytes);
  await using frozen = await machine.freeze({ nextLayerPath: layer.path, maxCopyBytes }, signal);
  const stoppedMs = await frozen.thaw();
  await saveSnapshot(capsule, frozen, draft, kind, parts);
  logger.info(
    { snapshot, kind, stoppedMs: Math.round(stoppedMs), dirtyBytes: frozen.dirtyBytes },
    "took a snapshot",
  );
}

/** The layer that a machine goes over to. Disposing of it lets go of one that the machine has not gone over to. */
async function nextLayer(
  capsule: Capsule,
  machine: Machine,
  parts: HostParts,
): Promise<AsyncDisposable & { path: string }> {
  const path = parts.layers.newPath();
  capsule.note({ step: "disk", path });
  parts.layers.hold(path, machineHolder(capsule.id));
  const letGo = async () => {
    if (!machine.ownLayers.includes(path)) await keepLayers(capsule, machine.ownLayers, parts);
  };
  return { path, [Symbol.asyncDispose]: letGo };
}

/** What a paused capsule is, is on the disk already. */
async function copyPaused(capsule: Capsule, request: SnapshotRequest, parts: HostParts): Promise<void> {
  const { operation, generation, snapshot } = request;
  const paused = capsule.record.snapshot;
  if (paused === undefined) {
    throw new WrennError("snapshot_corrupt", `capsule ${capsule.id} is paused and names no snapshot`);
  }
  capsule.move({ step: "snapshot", operation, generation, snapshot });
  try {
    await parts.snapshots.duplicate(paused, snapshot, "template");
  } catch (error) {
    capsule.move({ step: "stayed", state: "paused", ...explain(error) });
    throw hostError(error);
  }
  capsule.move({ step: "stayed", state: "paused" });
}
