import { type FileHandle, open, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { syncDirectory } from "@wrenn/daemon";
import { exists } from "../../disk-files.ts";
import { bootId } from "../../processes/identity.ts";

/** A merged image and the diff that it was made with. */
export interface MergedPaths {
  /** What is there is complete, for as long as this host does not lose power. */
  readonly targetPath: string;
  /** It stays until the image is on the disk: then it is not needed any more, and that it is gone says so. */
  readonly diffPath: string;
}

/** Where an image is while it is made. */
export function partialPath({ targetPath }: Pick<MergedPaths, "targetPath">): string {
  return `${targetPath}.partial`;
}

/** Names the boot of the host that an image was made in, until the image is on the disk. */
function markPath({ targetPath }: Pick<MergedPaths, "targetPath">): string {
  return `${targetPath}.unsynced`;
}

/**
 * Whether there is an image that can be restored from. One that was not synced is as good as its pages are in the
 * memory of this host: what another boot of the host left may have holes, whatever its size is.
 */
export async function hasImage(paths: MergedPaths): Promise<boolean> {
  if (!(await exists(paths.targetPath))) return false;
  if (!(await exists(paths.diffPath))) return true;
  const mark = await readFile(markPath(paths), "utf8").catch(() => undefined);
  return mark === (await bootId());
}

/**
 * Puts the image in place that has been made at {@link partialPath}. It is not synced.
 *
 * @param diff the image gets a time before its own: the device state, which is written after it, tells an image that
 *   was changed later.
 */
export async function placeImage(paths: MergedPaths, image: FileHandle, diff: FileHandle): Promise<void> {
  await image.chmod(0o600);
  // Whole seconds, for a fraction might be rounded up.
  const seconds = Math.floor((await diff.stat()).mtimeMs / 1000);
  await image.utimes(seconds, seconds);
  await writeFile(markPath(paths), await bootId(), { mode: 0o600 });
  await rename(partialPath(paths), paths.targetPath);
}

/** Removes an image that cannot be restored from, whether it is complete or not. */
export async function removeImage(paths: Pick<MergedPaths, "targetPath">): Promise<void> {
  for (const path of [paths.targetPath, partialPath(paths), markPath(paths)]) await rm(path, { force: true });
}

/**
 * Has the host write an image to its disk, and removes the diff. From then on the image outlives the host's power. It
 * may be restored from meanwhile, and what was interrupted is done again.
 */
export async function syncImage(paths: MergedPaths): Promise<void> {
  const dir = dirname(paths.targetPath);
  if (await exists(paths.diffPath)) {
    await using image = await open(paths.targetPath, "r");
    await image.sync();
    await syncDirectory(dir);
    await rm(paths.diffPath);
  }
  await rm(markPath(paths), { force: true });
  await syncDirectory(dir);
}
