import { statfs } from "node:fs/promises";
import { errnoOf, WrennError } from "@wrenn/contracts";

/** Below this a failed step is taken to have failed for want of space. */
const nearlyFullBytes = 32 * 1024 ** 2;

/** Throws `host_disk_full` unless the file system of `path` has so many free bytes. */
export async function requireFreeSpace(path: string, neededBytes: number): Promise<void> {
  const free = await freeBytes(path);
  if (free < neededBytes) throw diskFull(path, neededBytes - free);
}

/**
 * The error to report for a failed build in `path`: `host_disk_full` if the disk is the reason, otherwise the error
 * itself. Tools say so in words only, hence the look at the disk; it must happen before temporaries are removed.
 */
export async function explainFailure(error: unknown, path: string): Promise<unknown> {
  const full = errnoOf(error) === "ENOSPC" || (await freeBytes(path)) < nearlyFullBytes;
  return full ? diskFull(path, nearlyFullBytes, error) : error;
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

function diskFull(path: string, missingBytes: number, cause?: unknown): WrennError {
  const mib = Math.ceil(missingBytes / 1024 ** 2);
  return new WrennError(
    "host_disk_full",
    `The disk of ${path} is full; free at least ${mib} MiB to build the images.`,
    {
      cause,
    },
  );
}
