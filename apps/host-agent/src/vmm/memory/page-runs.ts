/** Bytes of a page of guest memory, as x86 has them. */
export const pageBytes = 4096;

/** Pages that are neighbours. */
export interface PageRun {
  readonly first: number;
  readonly count: number;
}

/** Some pages of a guest's memory, as runs in ascending order. */
export class PageRuns {
  /** First page and number of pages of each run, one after the other: there may be hundreds of thousands. */
  readonly #words: number[] = [];
  #pages = 0;

  get pages(): number {
    return this.#pages;
  }

  get bytes(): number {
    return this.#pages * pageBytes;
  }

  /** Number of runs. */
  get length(): number {
    return this.#words.length / 2;
  }

  /** Adds pages after all that are there; they become part of the last run when they touch it. */
  add(first: number, count: number): void {
    const words = this.#words;
    const last = words.length - 2;
    const end = last < 0 ? 0 : (words[last] ?? 0) + (words[last + 1] ?? 0);
    if (first < end) throw new RangeError(`page ${first} was added after page ${end - 1}`);
    this.#pages += count;
    if (last >= 0 && first === end) words[last + 1] = (words[last + 1] ?? 0) + count;
    else words.push(first, count);
  }

  *[Symbol.iterator](): Generator<PageRun> {
    const words = this.#words;
    for (let i = 0; i < words.length; i += 2) yield { first: words[i] ?? 0, count: words[i + 1] ?? 0 };
  }

  /** The same pages in portions of at most so many; a long run is in several. */
  *portions(maxPages: number): Generator<readonly PageRun[]> {
    let portion: PageRun[] = [];
    let room = maxPages;
    for (let { first, count } of this) {
      while (count > 0) {
        const taken = Math.min(count, room);
        portion.push({ first, count: taken });
        [first, count, room] = [first + taken, count - taken, room - taken];
        if (room > 0) continue;
        yield portion;
        [portion, room] = [[], maxPages];
      }
    }
    if (portion.length > 0) yield portion;
  }
}

/** Bytes of a portion of pages. */
export function bytesOf(runs: readonly PageRun[]): number {
  return runs.reduce((bytes, { count }) => bytes + count * pageBytes, 0);
}
