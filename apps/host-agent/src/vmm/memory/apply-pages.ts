import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";
import { allEnded } from "../all-ended.ts";
import { checksumBytes, type DecodedHeader } from "./diff-format.ts";
import { bytesOf, type PageRun, pageBytes } from "./page-runs.ts";

/** Pages that are in memory at a time: 4 MiB. */
const portionPages = 1024;

/** An open file with its name for errors. */
export interface NamedFile {
  readonly path: string;
  readonly file: FileHandle;
}

/**
 * Writes a diff's pages over the image of its base.
 *
 * @param verified whether its checksum is known to be right: of a diff that has just been written.
 * @throws {WrennError} `snapshot_corrupt` when the checksum is another.
 */
export async function applyPages(
  diff: NamedFile,
  { header, bytes }: DecodedHeader,
  image: FileHandle,
  verified: boolean,
  signal: AbortSignal,
): Promise<void> {
  const hash = verified ? undefined : createHash("sha256").update(bytes);
  // One is read while the other is written.
  const buffers = [0, 1].map(() => Buffer.allocUnsafeSlow(portionPages * pageBytes));
  let written: Promise<void> = Promise.resolve();
  let position = bytes.length;
  try {
    for (const portion of header.runs.portions(portionPages)) {
      signal.throwIfAborted();
      const [buffer = Buffer.alloc(0)] = buffers.reverse();
      const pages = await readInto(diff.file, position, buffer.subarray(0, bytesOf(portion)));
      position += pages.length;
      await written;
      written = writePages(image, portion, pages);
      written.catch(() => {});
      hash?.update(pages);
    }
    await written;
  } finally {
    // Before the image is closed.
    await written.catch(() => {});
  }
  if (hash) await compareChecksum(diff, position, hash);
}

async function compareChecksum({ path, file }: NamedFile, position: number, hash: Hash): Promise<void> {
  const checksum = await readAt(file, position, checksumBytes);
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
  await allEnded(writes);
}

/** As many bytes as there are, up to `length`. */
export async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  return await readInto(file, position, Buffer.allocUnsafe(length));
}

/** As many bytes as there are, up to the buffer's size. */
async function readInto(file: FileHandle, position: number, buffer: Buffer): Promise<Buffer> {
  const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
  return buffer.subarray(0, bytesRead);
}
