import { closeSync, openSync, readSync, read as readWithCallback } from "node:fs";
import { readFile, readlink } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { promisify } from "node:util";
import { allEnded } from "../all-ended.ts";
import { bytesOf, type PageRun, PageRuns, pageBytes } from "../memory/page-runs.ts";
import { memoryFd } from "./command-line.ts";

/** Bytes of a page's entry in `/proc/PID/pagemap`. */
const entryBytes = 8;

/** Bits of the upper half of an entry: https://docs.kernel.org/admin-guide/mm/pagemap.html */
const present = 0x8000_0000;
const swapped = 0x4000_0000;
const fileOrShared = 0x2000_0000;

/**
 * Entries read at a time, 512 MiB of guest. Reads are synchronous, for what the kernel copies from memory is not worth a
 * thread; each takes a few milliseconds at most, and then others have their turn.
 */
const scanPages = 128 * 1024;

/**
 * Runs of so many pages are read by other threads, several at a time: that is what a stop takes longest for. Less is
 * sooner read than handed over.
 */
const threadPages = 32;

const read = promisify(readWithCallback);

/** Where a part of the guest's memory is in the address space of its monitor. */
interface Region {
  readonly start: number;
  readonly pages: number;
  readonly firstPage: number;
}

/**
 * The memory of a guest that was restored, seen from outside. It is a private mapping of an image: a page that the guest
 * has written is anonymous, all others are the image's. What it zeroed was written as well.
 */
export class GuestMemory implements Disposable {
  /** Of the whole memory, dirty or not. */
  readonly bytes: number;
  readonly #regions: readonly Region[];
  readonly #pagemap: number;
  readonly #mem: number;

  private constructor(regions: readonly Region[], pagemap: number, mem: number) {
    this.bytes = regions.reduce((bytes, { pages }) => bytes + pages * pageBytes, 0);
    this.#regions = regions;
    this.#pagemap = pagemap;
    this.#mem = mem;
  }

  /** @throws {RangeError} for a machine that was not restored. */
  static async open(pid: number): Promise<GuestMemory> {
    const path = await readlink(`/proc/${pid}/fd/${memoryFd}`);
    const regions = privateRegions(await readFile(`/proc/${pid}/maps`, "utf8"), path);
    if (regions.length === 0) throw new RangeError(`process ${pid} maps no memory image privately`);
    const pagemap = openSync(`/proc/${pid}/pagemap`, "r");
    try {
      return new GuestMemory(regions, pagemap, openSync(`/proc/${pid}/mem`, "r"));
    } catch (error) {
      closeSync(pagemap);
      throw error;
    }
  }

  /** The pages that the guest has written since it was restored. While it runs there are more in the next moment. */
  async dirtyPages(): Promise<PageRuns> {
    const runs = new PageRuns();
    const buffer = Buffer.allocUnsafeSlow(scanPages * entryBytes);
    const words = new Uint32Array(buffer.buffer, buffer.byteOffset, scanPages * 2);
    for (const { start, pages, firstPage } of this.#regions) {
      for (let page = 0; page < pages; page += scanPages) {
        const count = Math.min(scanPages, pages - page);
        readFully(
          this.#pagemap,
          buffer.subarray(0, count * entryBytes),
          (start / pageBytes + page) * entryBytes,
        );
        addDirty(words, count, firstPage + page, runs);
        await nextTurn();
      }
    }
    return runs;
  }

  /** Reads pages into a buffer that has room for exactly them. */
  async read(portion: readonly PageRun[], into: Buffer): Promise<void> {
    const parts: Promise<void>[] = [];
    let at = 0;
    for (const { first, count } of portion) {
      const bytes = count * pageBytes;
      const readPart = count < threadPages ? readHere : readInThread;
      parts.push(readPart(this.#mem, into.subarray(at, at + bytes), this.#addressOf(first, count)));
      at += bytes;
    }
    await allEnded(parts);
  }

  /** The contents of pages, piece by piece. A piece is there until the next is asked for, and that is read meanwhile. */
  async *pieces(runs: PageRuns, maxPages: number): AsyncGenerator<Buffer> {
    const buffers = [0, 1].map(() => Buffer.allocUnsafeSlow(maxPages * pageBytes));
    let present: Promise<Buffer> | undefined;
    try {
      for (const portion of runs.portions(maxPages)) {
        const [buffer = Buffer.alloc(0)] = buffers.reverse();
        const piece = buffer.subarray(0, bytesOf(portion));
        const next = this.read(portion, piece).then(() => piece);
        // Whoever asks for it learns why it could not be read.
        next.catch(() => {});
        const ready = present;
        present = next;
        if (ready) yield await ready;
      }
      if (present) yield await present;
    } finally {
      // Before the memory is let go of.
      await present?.catch(() => {});
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#pagemap);
    closeSync(this.#mem);
  }

  #addressOf(first: number, count: number): number {
    for (const { start, pages, firstPage } of this.#regions) {
      if (first < firstPage || first + count > firstPage + pages) continue;
      return start + (first - firstPage) * pageBytes;
    }
    throw new RangeError(`pages ${first} to ${first + count} are not one region's`);
  }
}

/** Format: https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html */
function privateRegions(maps: string, path: string): Region[] {
  const name = path.replaceAll("\n", "\\012");
  const regions: Region[] = [];
  for (const line of maps.split("\n")) {
    const fields = /^([0-9a-f]+)-([0-9a-f]+) \S\S\Sp ([0-9a-f]+) \S+ \d+ +(.*)$/.exec(line);
    if (!fields || fields[4] !== name) continue;
    const [start = 0, end = 0, offset = 0] = fields.slice(1, 4).map((field) => Number.parseInt(field, 16));
    regions.push({ start, pages: (end - start) / pageBytes, firstPage: offset / pageBytes });
  }
  return regions.sort((a, b) => a.firstPage - b.firstPage);
}

/** Numbers are little-endian on all that we run on, so the second half of an entry is the upper one. */
function addDirty(words: Uint32Array, count: number, firstPage: number, runs: PageRuns): void {
  let begin = -1;
  for (let i = 0; i < count; i += 1) {
    const upper = words[2 * i + 1] ?? 0;
    const dirty = (upper & (present | swapped)) !== 0 && (upper & fileOrShared) === 0;
    if (dirty && begin < 0) begin = i;
    if (dirty || begin < 0) continue;
    runs.add(firstPage + begin, i - begin);
    begin = -1;
  }
  if (begin >= 0) runs.add(firstPage + begin, count - begin);
}

async function readInThread(fd: number, into: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await read(fd, into, done, into.length - done, position + done);
    if (bytesRead === 0) throw new Error("the machine ended while its memory was read");
    done += bytesRead;
  }
}

async function readHere(fd: number, into: Buffer, position: number): Promise<void> {
  readFully(fd, into, position);
}

function readFully(fd: number, into: Buffer, position: number): void {
  let done = 0;
  while (done < into.length) {
    const bytes = readSync(fd, into, done, into.length - done, position + done);
    if (bytes === 0) throw new Error("the machine ended while its memory was read");
    done += bytes;
  }
}
