import { type FileHandle, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { takenBytes } from "../../disk-files.ts";
import { checkDiskSpace } from "../../disk-space.ts";
import { savedParts } from "../frozen.ts";
import { applyPages } from "./apply-pages.ts";
import { copyBase } from "./base-copy.ts";
import { type DiffHeader, encodeHeader } from "./diff-format.ts";
import { partialPath, placeImage, removeImage } from "./merged-image.ts";
import { type Pages, writeDiff } from "./write-diff.ts";

const mebibyte = 1024 * 1024;

/** Largest base that is copied at once. The copy of a larger one would take longer than what it hides behind. */
const maxAheadBytes = 512 * mebibyte;

/** Room that an image leaves beside itself and the diff. */
const reserveBytes = 64 * mebibyte;

export interface MemorySave {
  readonly header: DiffHeader;
  readonly pages: Pages;
  /** The image that the diff is of; absent when nobody wants a merged one soon. */
  readonly basePath: string | undefined;
}

/**
 * Writes a guest's memory to the directory of a snapshot: the diff, synced, and beside it, where that is soon done, the
 * merged image, so that nobody who resumes the guest at once has to wait for it. The image is a convenience: when it
 * does not come about, a merge makes it later.
 *
 * @throws {WrennError} `host_disk_full` when there is no room for the diff.
 */
export async function saveMemory(dir: string, save: MemorySave, signal: AbortSignal): Promise<void> {
  const paths = {
    targetPath: join(dir, savedParts.memory),
    diffPath: join(dir, savedParts.memoryDiff),
  };
  const partial = partialPath(paths);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => removeImage(paths));
  const copied = copyAhead(save, partial, signal);
  // Before the partial file is removed: it is being written.
  undo.defer(async () => void (await copied));
  const makeImage = async (diff: FileHandle) => {
    if (!(await copied)) throw new RangeError("there is no copy of the base");
    await using image = await open(partial, "r+");
    const decoded = { header: save.header, bytes: encodeHeader(save.header) };
    await applyPages({ path: paths.diffPath, file: diff }, decoded, image, true, signal);
    await placeImage(paths, image, diff);
  };
  await writeDiff(paths.diffPath, save.header, save.pages, signal, (diff) =>
    makeImage(diff).catch(() => removeImage(paths)),
  );
  undo.move();
}

/** Begins while the diff is written. @returns whether there is a copy. */
async function copyAhead(
  { header, basePath }: MemorySave,
  to: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    if (basePath === undefined) return false;
    const bytes = await takenBytes(basePath);
    if (bytes > maxAheadBytes) return false;
    // What the image takes must not be what the diff lacks.
    await checkDiskSpace(dirname(to), Math.ceil((bytes + 2 * header.runs.bytes + reserveBytes) / mebibyte));
    await copyBase(basePath, to, signal);
    return true;
  } catch {
    return false;
  }
}
