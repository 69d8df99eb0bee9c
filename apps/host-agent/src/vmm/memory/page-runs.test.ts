import { expect, test } from "vitest";
import { bytesOf, PageRuns, pageBytes } from "./page-runs.ts";

test("pages that touch are one run", () => {
  const runs = new PageRuns();
  for (const [first, count] of [
    [3, 2],
    [5, 1],
    [9, 4],
  ] as const)
    runs.add(first, count);
  expect([...runs]).toEqual([
    { first: 3, count: 3 },
    { first: 9, count: 4 },
  ]);
  expect([runs.pages, runs.bytes, runs.length]).toEqual([7, 7 * pageBytes, 2]);
  expect(() => runs.add(12, 1)).toThrow(RangeError);
});

test("portions are all pages in order, none larger than asked for", () => {
  const runs = new PageRuns();
  for (let first = 0; first < 1000; first += 7) runs.add(first, 1 + (first % 5));
  for (const maxPages of [1, 2, 3, 64, 5000]) {
    const portions = [...runs.portions(maxPages)];
    for (const portion of portions.slice(0, -1)) expect(bytesOf(portion)).toBe(maxPages * pageBytes);
    const pages = (list: Iterable<{ first: number; count: number }>) =>
      [...list].flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
    expect(pages(portions.flat())).toEqual(pages(runs));
  }
  expect([...new PageRuns().portions(8)]).toEqual([]);
});
