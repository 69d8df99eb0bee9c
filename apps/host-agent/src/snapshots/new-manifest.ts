import { stat } from "node:fs/promises";
import { join } from "node:path";
import { exists } from "../disk-files.ts";
import { savedParts } from "../vmm/frozen.ts";
import type { RestoringHost } from "./compatibility.ts";
import { type SnapshotManifest, snapshotFormatVersion } from "./manifest.ts";
import type { SnapshotDraft, SnapshotFacts } from "./snapshot-draft.ts";

/**
 * All but the disk layers of what a new snapshot says of itself. What the machine was saved to tells whether its memory is
 * a diff, whole, or lost.
 *
 * @param sourceDir directory of the snapshot that the machine was restored from.
 */
export async function newManifest(
  { id, dir }: SnapshotDraft,
  facts: SnapshotFacts,
  sourceDir: string,
  { vmm, cpu }: RestoringHost,
): Promise<Omit<SnapshotManifest, "diskLayers">> {
  const { source, ownLayers: _, size, holder: __, token: ___, ...said } = facts;
  const isDiff = await exists(join(dir, savedParts.memoryDiff));
  const memory = join(isDiff ? sourceDir : dir, savedParts.memory);
  const memoryless = !isDiff && !(await exists(memory));
  return {
    formatVersion: snapshotFormatVersion,
    ...{ id, createdAt: new Date().toISOString(), ...said, ...size },
    ...{ network: vmm.network, ...(cpu !== undefined && { cpu }) },
    ...(memoryless ? { memoryBytes: 0, memoryless } : { memoryBytes: (await stat(memory)).size }),
    ...(isDiff && { base: source }),
  };
}
