import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import type { SnapshotKind } from "../snapshots/manifest.ts";
import type { SnapshotDraft } from "../snapshots/snapshot-draft.ts";
import { type Frozen, savedParts } from "../vmm/frozen.ts";
import type { Capsule } from "./capsule.ts";
import { capsuleHolder } from "./held.ts";
import type { HostParts } from "./host-parts.ts";

/** Room for what a snapshot has beside its memory, and for what comes to the disk meanwhile. */
export const snapshotReserveBytes = 64 * 1024 * 1024;

/**
 * Writes a frozen machine as a snapshot, which its capsule holds unless it is offered to everybody. It is one when this is
 * done, or there is none.
 */
export async function saveSnapshot(
  capsule: Capsule,
  frozen: Frozen,
  draft: SnapshotDraft,
  kind: SnapshotKind,
  { layout, signal }: HostParts,
): Promise<void> {
  const { id, template, size, record } = capsule;
  const { source, versions, diskBytes, restoreEpoch, accessToken: token } = record;
  if (
    source === undefined ||
    versions === undefined ||
    diskBytes === undefined ||
    restoreEpoch === undefined
  ) {
    throw new WrennError("invalid_state", `capsule ${id} was made by an agent that knew no snapshots of it`);
  }
  if (token === undefined) throw new RangeError("a capsule that runs has a token");
  const basePath = join(layout.snapshots, source, savedParts.memory);
  const { deviceStateSha256 } = await frozen.save({ dir: draft.dir, baseId: source, basePath }, signal);
  signal.throwIfAborted();
  await draft.commit({
    ...{ kind, capsule: id, template, size, versions, diskBytes, restoreEpoch, token, source },
    holder: kind === "template" ? undefined : capsuleHolder(id),
    ownLayers: frozen.ownLayers,
    deviceStateSha256,
  });
}
