import { type FileHandle, open, stat } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";
import { applyPages, readAt } from "./apply-pages.ts";
import { copyBase } from "./base-copy.ts";
import { type DecodedHeader, decodeHeader } from "./diff-format.ts";
import { hasImage, type MergedPaths, partialPath, placeImage, removeImage } from "./merged-image.ts";

export interface MergeSpec extends MergedPaths {
  /** The memory image that the guest was restored from. */
  readonly basePath: string;
  /** Its id, as the diff has it. */
  readonly baseId: string;
}

/**
 * Merges a diff and its base into a full memory image, unless that has been done: a save does it when it is told the
 * base. A merge that was interrupted is done again from the start. The image is not synced: that is `syncImage`'s work.
 *
 * @throws {WrennError} `snapshot_corrupt` when the diff is damaged, or of another base. There is no image then.
 */
export async function mergeMemory(spec: MergeSpec, signal: AbortSignal): Promise<void> {
  if (await hasImage(spec)) return;
  const partial = partialPath(spec);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => removeImage(spec));
  await removeImage(spec);
  await using diff = await open(spec.diffPath, "r");
  const decoded = await readHeader(diff, spec);
  await copyBase(spec.basePath, partial, signal);
  await using image = await open(partial, "r+");
  await applyPages({ path: spec.diffPath, file: diff }, decoded, image, false, signal);
  await placeImage(spec, image, diff);
  undo.move();
}

async function readHeader(
  diff: FileHandle,
  { basePath, baseId, diffPath }: MergeSpec,
): Promise<DecodedHeader> {
  const decoded = await decodeHeader(diffPath, (await diff.stat()).size, (position, length) =>
    readAt(diff, position, length),
  );
  const { header } = decoded;
  if (header.baseId !== baseId) {
    throw new WrennError("snapshot_corrupt", `${diffPath} is a diff of ${header.baseId}, not of ${baseId}`);
  }
  const { size } = await stat(basePath);
  if (size === header.memoryBytes) return decoded;
  const sentence = `${basePath} has ${size} bytes, and ${diffPath} is of a memory of ${header.memoryBytes}`;
  throw new WrennError("snapshot_corrupt", sentence);
}
