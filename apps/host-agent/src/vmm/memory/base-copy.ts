import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { runCommand } from "@wrenn/daemon";
import { takenBytes } from "../../disk-files.ts";
import { checkDiskSpace } from "../../disk-space.ts";

const mebibyte = 1024 * 1024;

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
    await checkDiskSpace(dirname(to), Math.ceil((await takenBytes(from)) / mebibyte));
    throw error;
  }
}
