import { open } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { allEnded } from "../all-ended.ts";
import { bytesOf, type PageRuns, pageBytes } from "../memory/page-runs.ts";
import type { GuestMemory } from "./guest-memory.ts";

/** Pages copied before others have their turn: 4 MiB, some two milliseconds. */
export const portionPages = 1024;

/** What a guest dirties between the estimate and its stop. */
const headroom = 1.25;

/**
 * A copy of a stopped guest's pages in our memory, so that it can run on before they are written to the disk. The
 * memory is taken, and touched, before the guest is stopped: it is what takes longest.
 */
export class PageCopy {
  readonly #buffers: Buffer[] = [];
  #pieces: readonly Buffer[] = [];

  private constructor() {}

  /**
   * @param expected pages that were dirty a moment ago.
   * @param maxBytes most memory that there is for them.
   */
  static async reserve(expected: PageRuns, maxBytes: number): Promise<PageCopy> {
    const copy = new PageCopy();
    const bytes = Math.min(expected.bytes * headroom, maxBytes);
    const portions = Math.ceil(bytes / (portionPages * pageBytes));
    for (let i = 0; i < portions; i += 1) copy.#buffers.push(newBuffer());
    await touch(copy.#buffers);
    return copy;
  }

  async fill(memory: GuestMemory, runs: PageRuns): Promise<void> {
    const pieces: Buffer[] = [];
    const reads: Promise<void>[] = [];
    for (const portion of runs.portions(portionPages)) {
      const buffer = this.#buffers[pieces.length] ?? newBuffer();
      const piece = buffer.subarray(0, bytesOf(portion));
      // At once, so that all threads have something to read.
      const reading = memory.read(portion, piece);
      reading.catch(() => {});
      reads.push(reading);
      pieces.push(piece);
      await nextTurn();
    }
    await allEnded(reads);
    this.#buffers.length = 0;
    this.#pieces = pieces;
  }

  get pieces(): readonly Buffer[] {
    return this.#pieces;
  }
}

/** Has other threads write to memory, so that the host gives it to us now and this one can do something else. */
async function touch(buffers: readonly Buffer[]): Promise<void> {
  await using zeroes = await open("/dev/zero", "r");
  await allEnded(buffers.map((buffer) => zeroes.read(buffer, 0, buffer.length, null)));
}

function newBuffer(): Buffer {
  return Buffer.allocUnsafeSlow(portionPages * pageBytes);
}
