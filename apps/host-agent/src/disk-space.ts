import { statfs } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";

const mebibyte = 1024 * 1024;

/**
 * Refuses work that the disk has no room for, before anything of it is made. What is free now may be gone later;
 * this is for the operator who would otherwise learn of a full disk from a machine that did not start.
 *
 * @throws {WrennError} `host_disk_full`.
 */
export async function checkDiskSpace(dir: string, neededMib: number): Promise<void> {
  const freeMib = await freeMebibytes(dir);
  if (freeMib >= neededMib) return;
  const missingMib = neededMib - freeMib;
  const sentence = `${dir} has ${freeMib} MiB free, ${neededMib} MiB are needed: ${missingMib} MiB are missing; free some space`;
  throw new WrennError("host_disk_full", sentence);
}

/** Space that is left on the file system of a directory, in MiB. */
export async function freeMebibytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return Math.floor((bavail * bsize) / mebibyte);
}
