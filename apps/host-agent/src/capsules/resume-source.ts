import { newId, WrennError } from "@wrenn/contracts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { Capsule } from "./capsule.ts";
import { capsuleHolder } from "./held.ts";
import type { HostParts } from "./host-parts.ts";
import { release } from "./release.ts";

/**
 * What a capsule that does not run is restored from.
 *
 * @param held lets go of what is needed only until its machine holds it.
 */
export async function openResumeSource(
  capsule: Capsule,
  fromDisk: boolean,
  held: AsyncDisposableStack,
  parts: HostParts,
): Promise<RestoreSource> {
  const { snapshots, archive, diskStarts, signal } = parts;
  const { resumedFrom } = capsule.record;
  const holder = capsuleHolder(capsule.id);
  if (resumedFrom === "error") await keepDisk(capsule, parts);
  const { snapshot } = capsule.record;
  if (snapshot === undefined) {
    throw new WrennError("snapshot_corrupt", `capsule ${capsule.id} is paused and names no snapshot`);
  }
  if (resumedFrom === "hibernated") await archive.fetch(snapshot, holder, signal);
  if (!fromDisk) return await snapshots.source(snapshot, signal);
  const started = newId("snapshot");
  held.defer(async () => snapshots.release(started, holder));
  await diskStarts.start(snapshot, started, holder, signal);
  return await snapshots.source(started, signal);
}

/** Makes a snapshot of what a machine has left, which has no memory. From then on that is what there is of the capsule. */
async function keepDisk(capsule: Capsule, parts: HostParts): Promise<void> {
  const { id, template, size, record } = capsule;
  if (record.snapshot !== undefined) return;
  const { source, ownLayers, versions, diskBytes, restoreEpoch } = record;
  if (source === undefined || !versions || diskBytes === undefined || restoreEpoch === undefined) {
    throw new WrennError("invalid_state", `capsule ${id} has left no disk that it could be started from`);
  }
  const snapshot = newId("snapshot");
  capsule.note({ step: "kept", snapshot });
  const facts = { source, ownLayers, versions, diskBytes, restoreEpoch, template, size };
  await parts.diskStarts.keep(snapshot, { ...facts, capsule: id, holder: capsuleHolder(id) });
  await release(capsule, ["disk", "source"], parts);
}
