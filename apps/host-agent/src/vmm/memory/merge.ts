import { createHash } from "node:crypto";
import { access, type FileHandle, open, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { runCommand, syncDirectory } from "@wrenn/daemon";
import { checkDiskSpace } from "../../disk-space.ts";
import { checksumBytes, type DecodedHeader, decodeHeader } from "./diff-format.ts";
import { bytesOf, type PageRun, pageBytes } from "./page-runs.ts";

const mebibyte = 1024 * 1024;

/** Unit of `st_blocks`: https://man7.org/linux/man-pages/man3/stat.3type.html */
const blockBytes = 512;

/** Pages that are in memory at a time: 4 MiB. */
const portionPages = 1024;

export interface MergeSpec {
  /** The memory image that the guest was restored from. */
  readonly basePath: string;
  /** Its id, as the diff has it. */
  readonly baseId: string;
  readonly diffPath: string;
  /** Where the merged image comes about, by a rename: what is there is complete. */
  readonly targetPath: string;
}

/**
 * Merges a diff and its base into a full memory image. A merge that was interrupted is done again from the start; one
 * that is complete is left alone. The base is cloned where the file system can, copied without its holes elsewhere.
 *
 * @throws {WrennError} `snapshot_corrupt` when the diff is damaged, or of another base. There is no image then.
 */
export async function mergeMemory(spec: MergeSpec, signal: AbortSignal): Promise<void> {
  const { basePath, diffPath, targetPath } = spec;
  if (await exists(targetPath)) return;
  const partial = `${targetPath}.partial`;
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(partial, { force: true }));
  await rm(partial, { force: true });
  await using diff = await open(diffPath, "r");
  const decoded = await readHeader(diff, spec);
  await copyBase(basePath, partial, signal);
  await using image = await open(partial, "r+");
  await applyPages(diff, diffPath, decoded, image, signal);
  await image.chmod(0o600);
  // Not younger than the diff: the device state, which is written after it, tells an image that was changed later. Whole
  // seconds, for a fraction might be rounded up.
  const seconds = Math.floor((await diff.stat()).mtimeMs / 1000);
  await image.utimes(seconds, seconds);
  await image.sync();
  await rename(partial, targetPath);
  await syncDirectory(dirname(targetPath));
  undo.move();
}

/** @throws {WrennError} `host_disk_full` when that may be why it could not be copied. */
async function copyBase(from: string, to: string, signal: AbortSignal): Promise<void> {
  try {
    await runCommand("cp", ["--reflink=auto", "--sparse=always", "--", from, to], { signal });
  } catch (error) {
    signal.throwIfAborted();
    const { blocks } = await stat(from);
    await rm(to, { force: true });
    await checkDiskSpace(dirname(to), Math.ceil((blocks * blockBytes) / mebibyte));
    throw error;
  }
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

/** Writes the diff's pages over the image, and compares the checksum. */
async function applyPages(
  diff: FileHandle,
  path: string,
  { header, bytes }: DecodedHeader,
  image: FileHandle,
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash("sha256").update(bytes);
  let position = bytes.length;
  for (const portion of header.runs.portions(portionPages)) {
    signal.throwIfAborted();
    const pages = await readAt(diff, position, bytesOf(portion));
    position += pages.length;
    // The checksum is computed while the disk works.
    const written = writePages(image, portion, pages);
    hash.update(pages);
    await written;
  }
  const checksum = await readAt(diff, position, checksumBytes);
  if (checksum.equals(hash.digest())) return;
  throw new WrennError("snapshot_corrupt", `${path} is damaged: its checksum is another`);
}

async function writePages(image: FileHandle, portion: readonly PageRun[], pages: Buffer): Promise<void> {
  let at = 0;
  const writes = portion.map(async ({ first, count }) => {
    const bytes = count * pageBytes;
    const part = pages.subarray(at, at + bytes);
    at += bytes;
    const { bytesWritten } = await image.write(part, 0, part.length, first * pageBytes);
    if (bytesWritten < bytes)
      await image.write(part, bytesWritten, bytes - bytesWritten, first * pageBytes + bytesWritten);
  });
  await Promise.all(writes);
}

/** As many bytes as there are, up to `length`. */
async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
