import { type FileHandle, open } from "node:fs/promises";
import type { Content } from "../archive/archive.ts";

/** Parts of a file that are nothing but zeroes are left out of it in units of this size. */
const blockBytes = 64 * 1024;

const zeroes = Buffer.alloc(blockBytes);

/** Writes a new file with holes where there are zeroes, and waits until it is on the disk. @returns its size. */
export async function writeSparse(path: string, content: Content, signal: AbortSignal): Promise<number> {
  await using file = await open(path, "wx", 0o600);
  let position = 0;
  for await (const block of blocksOf(content)) {
    signal.throwIfAborted();
    if (!zeroes.subarray(0, block.length).equals(block)) await writeAt(file, block, position);
    position += block.length;
  }
  await file.truncate(position);
  await file.sync();
  return position;
}

/** The same bytes in blocks of one size, but for the last. */
async function* blocksOf(content: Content): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafe(blockBytes);
  let filled = 0;
  for await (const piece of content) {
    for (let at = 0; at < piece.length; ) {
      const taken = Math.min(piece.length - at, blockBytes - filled);
      block.set(piece.subarray(at, at + taken), filled);
      at += taken;
      filled += taken;
      if (filled < blockBytes) continue;
      yield block;
      block = Buffer.allocUnsafe(blockBytes);
      filled = 0;
    }
  }
  if (filled > 0) yield block.subarray(0, filled);
}

async function writeAt(file: FileHandle, block: Buffer, position: number): Promise<void> {
  for (let done = 0; done < block.length; ) {
    done += (await file.write(block, done, block.length - done, position + done)).bytesWritten;
  }
}
