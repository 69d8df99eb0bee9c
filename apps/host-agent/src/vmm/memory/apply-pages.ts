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
  let position = bytes.length;
  for (const portion of header.runs.portions(portionPages)) {
    signal.throwIfAborted();
    const pages = await readAt(diff.file, position, bytesOf(portion));
    position += pages.length;
    // The checksum is computed while the disk works.
    const written = writePages(image, portion, pages);
    hash?.update(pages);
    await written;
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
  const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(length), 0, length, position);
  return buffer.subarray(0, bytesRead);
}
