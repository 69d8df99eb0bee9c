import { WrennError } from "@wrenn/contracts";
import { PageRuns, pageBytes } from "./page-runs.ts";

/**
 * A memory diff: the pages in which a guest's memory differs from the image that it was restored from. All numbers are
 * little-endian.
 *
 *     0  magic, 8 bytes           `WRENNMEM`
 *     8  format version, u32
 *    12  page size in bytes, u32
 *    16  memory size in bytes, u64
 *    24  number of pages, u64
 *    32  number of runs, u32
 *    36  length of the base's id in bytes, u32
 *    40  id of the base, UTF-8
 *     …  the runs: first page, u32, and number of pages, u32, of each, ascending and not touching
 *     …  the pages, in the order of the runs
 *     …  SHA-256 of everything before
 */
const magic = Buffer.from("WRENNMEM", "latin1");
const formatVersion = 1;
const fixedBytes = 40;
const bytesPerRun = 8;
const maxBaseIdBytes = 255;

export const checksumBytes = 32;

export interface DiffHeader {
  readonly memoryBytes: number;
  /** Names the image that the pages replace parts of. */
  readonly baseId: string;
  readonly runs: PageRuns;
}

export interface DecodedHeader {
  readonly header: DiffHeader;
  /** As they are in the file: the checksum is over them too. */
  readonly bytes: Buffer;
}

/** Everything before the pages. */
export function encodeHeader({ memoryBytes, baseId, runs }: DiffHeader): Buffer {
  const id = Buffer.from(baseId, "utf8");
  if (id.length > maxBaseIdBytes) throw new RangeError(`a base's id has at most ${maxBaseIdBytes} bytes`);
  const bytes = Buffer.alloc(fixedBytes + id.length + runs.length * bytesPerRun);
  magic.copy(bytes);
  bytes.writeUInt32LE(formatVersion, 8);
  bytes.writeUInt32LE(pageBytes, 12);
  bytes.writeBigUInt64LE(BigInt(memoryBytes), 16);
  bytes.writeBigUInt64LE(BigInt(runs.pages), 24);
  bytes.writeUInt32LE(runs.length, 32);
  bytes.writeUInt32LE(id.length, 36);
  id.copy(bytes, fixedBytes);
  let at = fixedBytes + id.length;
  for (const { first, count } of runs) {
    bytes.writeUInt32LE(first, at);
    bytes.writeUInt32LE(count, at + 4);
    at += bytesPerRun;
  }
  return bytes;
}

/** Reads exactly that many bytes at a position of a file, or as many as there are. */
export type ReadAt = (position: number, length: number) => Promise<Buffer>;

/**
 * Reads and checks everything before the pages.
 *
 * @param path names the file in errors.
 * @param fileBytes its size, which has to be what the header says.
 * @throws {WrennError} `snapshot_corrupt`.
 */
export async function decodeHeader(path: string, fileBytes: number, readAt: ReadAt): Promise<DecodedHeader> {
  const corrupt = (reason: string) => new WrennError("snapshot_corrupt", `${path} ${reason}`);
  const fixed = await readAt(0, fixedBytes);
  if (fixed.length < fixedBytes) throw corrupt(`is truncated: it has ${fileBytes} bytes`);
  if (!fixed.subarray(0, 8).equals(magic)) throw corrupt("is not a memory diff");
  const version = fixed.readUInt32LE(8);
  if (version !== formatVersion)
    throw corrupt(`is a memory diff of version ${version}, not ${formatVersion}`);
  if (fixed.readUInt32LE(12) !== pageBytes) throw corrupt(`has pages of ${fixed.readUInt32LE(12)} bytes`);
  const memoryBytes = Number(fixed.readBigUInt64LE(16));
  const pages = Number(fixed.readBigUInt64LE(24));
  const [runCount, idBytes] = [fixed.readUInt32LE(32), fixed.readUInt32LE(36)];
  if (idBytes > maxBaseIdBytes) throw corrupt("names no base");
  if (runCount > pages || memoryBytes % pageBytes !== 0) throw corrupt("has runs of pages that cannot be");
  const headerBytes = fixedBytes + idBytes + runCount * bytesPerRun;
  const expected = headerBytes + pages * pageBytes + checksumBytes;
  if (fileBytes < expected) throw corrupt(`is truncated: it has ${fileBytes} bytes, not ${expected}`);
  if (fileBytes > expected) throw corrupt(`has ${fileBytes - expected} bytes too many`);
  const bytes = await readAt(0, headerBytes);
  const baseId = bytes.toString("utf8", fixedBytes, fixedBytes + idBytes);
  const runs = decodeRuns(bytes.subarray(fixedBytes + idBytes), memoryBytes / pageBytes);
  if (runs?.pages !== pages) throw corrupt("has runs of pages that cannot be");
  return { header: { memoryBytes, baseId, runs }, bytes };
}

/** @returns undefined when the runs are not ascending, or not in the memory. */
function decodeRuns(bytes: Buffer, memoryPages: number): PageRuns | undefined {
  const runs = new PageRuns();
  let end = 0;
  for (let at = 0; at + bytesPerRun <= bytes.length; at += bytesPerRun) {
    const [first, count] = [bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)];
    if (first < end || count === 0 || first + count > memoryPages) return undefined;
    end = first + count;
    runs.add(first, count);
  }
  return runs;
}
