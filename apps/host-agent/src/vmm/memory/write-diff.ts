import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { checkDiskSpace } from "../../disk-space.ts";
import { allEnded } from "../all-ended.ts";
import { type DiffHeader, encodeHeader } from "./diff-format.ts";

const mebibyte = 1024 * 1024;

/** The contents of a header's runs, in pieces of any size; each piece is used until the next is asked for. */
export type Pages = Iterable<Buffer> | AsyncIterable<Buffer>;

/**
 * Writes a memory diff to a new file, and waits until it is on the disk. A file that could not be completed is removed.
 *
 * @param beside done with the complete file while the disk works; waited for.
 * @throws {WrennError} `host_disk_full`, before anything is written, when it is known that there is no room.
 */
export async function writeDiff(
  path: string,
  header: DiffHeader,
  pages: Pages,
  signal: AbortSignal,
  beside: (diff: FileHandle) => Promise<void> = async () => {},
): Promise<void> {
  await checkDiskSpace(dirname(path), Math.ceil(header.runs.bytes / mebibyte));
  await using file = await open(path, "wx+", 0o600);
  try {
    await writeContents(file, header, pages, signal);
    await allEnded([file.sync(), beside(file)]);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function writeContents(
  file: FileHandle,
  header: DiffHeader,
  pages: Pages,
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash("sha256");
  await append(file, encodeHeader(header), hash);
  let bytes = 0;
  for await (const piece of pages) {
    signal.throwIfAborted();
    await append(file, piece, hash);
    bytes += piece.length;
  }
  if (bytes !== header.runs.bytes) throw new RangeError(`${bytes} bytes of pages, not ${header.runs.bytes}`);
  await writeAll(file, hash.digest());
}

/** The checksum is computed while the disk works. */
async function append(file: FileHandle, piece: Buffer, hash: Hash): Promise<void> {
  const written = writeAll(file, piece);
  hash.update(piece);
  await written;
}

async function writeAll(file: FileHandle, piece: Buffer): Promise<void> {
  let done = 0;
  while (done < piece.length) {
    const { bytesWritten } = await file.write(piece, done, piece.length - done);
    done += bytesWritten;
  }
}
