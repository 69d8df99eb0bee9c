import { type FileHandle, open, rm } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";
import type { DiskLayer } from "../vmm.ts";

/** Bytes of a cluster: the default of `qemu-img`, which trades tables in memory against copying for small writes. */
const clusterBits = 16;
const clusterBytes = 2 ** clusterBits;

const magic = 0x514649fb;
const version = 3;
const headerBytes = 104;
/** 2^4 bits for each reference count. */
const refcountOrder = 4;

/** Disk that one entry of the first table covers: a cluster full of entries of the second, 8 bytes each. */
const bytesPerEntry = clusterBytes * (clusterBytes / 8);

/** Larger disks are refused: their tables grow with them, and what is asked here may come from a machine. */
const maxDiskBytes = 64 * 2 ** 40;

/**
 * Makes an empty copy-on-write layer. It names no layer below: whoever opens it says what it stands on, so no path in a
 * file that a guest's machine can write is ever followed.
 * Format: https://www.qemu.org/docs/master/interop/qcow2.html
 *
 * @param diskBytes size of the disk that it is a layer of.
 */
export async function makeEmptyLayer(path: string, diskBytes: number): Promise<void> {
  if (
    !Number.isSafeInteger(diskBytes) ||
    diskBytes <= 0 ||
    diskBytes > maxDiskBytes ||
    diskBytes % 512 !== 0
  ) {
    throw new RangeError(`a disk cannot have ${diskBytes} bytes`);
  }
  const entries = Math.ceil(diskBytes / bytesPerEntry);
  const tableClusters = Math.ceil((entries * 8) / clusterBytes);
  // Header, table of reference counts, a block of them, and the first table, which is empty.
  const clusters = 3 + tableClusters;
  await using file = await open(path, "wx", 0o600);
  try {
    await file.truncate(clusters * clusterBytes);
    await file.write(header(diskBytes, entries), 0, headerBytes, 0);
    await file.write(bigEndian64(2 * clusterBytes), 0, 8, clusterBytes);
    await file.write(counts(clusters), 0, clusters * 2, 2 * clusterBytes);
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

function header(diskBytes: number, entries: number): Buffer {
  const bytes = Buffer.alloc(headerBytes);
  bytes.writeUInt32BE(magic, 0);
  bytes.writeUInt32BE(version, 4);
  bytes.writeUInt32BE(clusterBits, 20);
  bytes.writeBigUInt64BE(BigInt(diskBytes), 24);
  bytes.writeUInt32BE(entries, 36);
  bytes.writeBigUInt64BE(BigInt(3 * clusterBytes), 40);
  bytes.writeBigUInt64BE(BigInt(clusterBytes), 48);
  bytes.writeUInt32BE(1, 56);
  bytes.writeUInt32BE(refcountOrder, 96);
  bytes.writeUInt32BE(headerBytes, 100);
  return bytes;
}

function bigEndian64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function counts(clusters: number): Buffer {
  const bytes = Buffer.alloc(clusters * 2);
  for (let i = 0; i < clusters; i += 1) bytes.writeUInt16BE(1, i * 2);
  return bytes;
}

/**
 * Size of the disk that a layer is the top of.
 *
 * @throws {WrennError} `snapshot_corrupt` when it is not the layer that it is said to be.
 */
export async function diskBytesOf(layer: DiskLayer): Promise<number> {
  await using file = await open(layer.path, "r");
  if (layer.format === "raw") return (await file.stat()).size;
  const bytes = await readHeader(file);
  const size = bytes && Number(bytes.readBigUInt64BE(24));
  if (bytes?.readUInt32BE(0) === magic && size !== undefined && size <= maxDiskBytes) return size;
  throw new WrennError("snapshot_corrupt", `${layer.path} is not a qcow2 layer`);
}

async function readHeader(file: FileHandle): Promise<Buffer | undefined> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(32), 0, 32, 0);
  return bytesRead === 32 ? buffer : undefined;
}
