import { rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { runCommand } from "@wrenn/daemon";
import { checkDiskSpace } from "../../disk-space.ts";

const mebibyte = 1024 * 1024;

/** Unit of `st_blocks`: https://man7.org/linux/man-pages/man3/stat.3type.html */
const blockBytes = 512;

/**
 * Copies a memory image: cloned where the file system can, copied without its holes elsewhere. What is there when it
 * fails is of no use.
 *
 * @throws {WrennError} `host_disk_full` when that may be why it could not be copied.
 */
export async function copyBase(from: string, to: string, signal: AbortSignal): Promise<void> {
  try {
    await runCommand("cp", ["--reflink=auto", "--sparse=always", "--", from, to], { signal });
  } catch (error) {
    signal.throwIfAborted();
    await rm(to, { force: true });
    await checkDiskSpace(dirname(to), Math.ceil((await allocatedBytes(from)) / mebibyte));
    throw error;
  }
}

/** Bytes that a file takes on the disk, which are what a copy costs. */
export async function allocatedBytes(path: string): Promise<number> {
  return (await stat(path)).blocks * blockBytes;
}
