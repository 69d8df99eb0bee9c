import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type MergeSpec, mergeMemory } from "./merge.ts";
import { hasImage, syncImage } from "./merged-image.ts";
import { PageRuns, pageBytes } from "./page-runs.ts";
import { writeDiff } from "./write-diff.ts";

const { signal } = new AbortController();
const memoryPages = 3000;
const memoryBytes = memoryPages * pageBytes;

let dir: string;
let spec: MergeSpec;
let base: Buffer;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "wrenn-merge-"));
  const path = (name: string) => join(dir, name);
  spec = { basePath: path("base"), baseId: "b", diffPath: path("diff"), targetPath: path("memory") };
  base = randomBytes(memoryBytes);
  base.fill(0, 100 * pageBytes, 200 * pageBytes);
  await writeFile(spec.basePath, base);
});
afterEach(() => rm(dir, { recursive: true }));

/** A diff with these runs of random pages, the last of them zeroes. @returns what the merged memory is. */
async function makeDiff(list: readonly (readonly [number, number])[]): Promise<Buffer> {
  const runs = new PageRuns();
  for (const [first, count] of list) runs.add(first, count);
  const pages = randomBytes(runs.bytes);
  pages.fill(0, runs.bytes - pageBytes);
  await writeDiff(spec.diffPath, { memoryBytes, baseId: "b", runs }, [pages], signal);
  const merged = Buffer.from(base);
  let at = 0;
  for (const { first, count } of runs) {
    pages.copy(merged, first * pageBytes, at, at + count * pageBytes);
    at += count * pageBytes;
  }
  return merged;
}

const scattered = [
  [0, 1],
  [2, 1],
  [150, 1100],
  [1300, 3],
  [memoryPages - 1, 1],
] as const;

test("a merged image has the diff's pages and the base's others, zeroes too", async () => {
  const merged = await makeDiff(scattered);
  await mergeMemory(spec, signal);
  expect((await readFile(spec.targetPath)).equals(merged)).toBe(true);
  expect((await readFile(spec.basePath)).equals(base)).toBe(true);
});

test("a merged image is never younger than its diff, for who restores it compares", async () => {
  await makeDiff(scattered);
  for (const seconds of [1_700_000_000.9996, 1_700_000_000.0004, 1_700_000_001]) {
    await utimes(spec.diffPath, seconds, seconds);
    await rm(spec.targetPath, { force: true });
    await mergeMemory(spec, signal);
    expect((await stat(spec.targetPath)).mtimeMs).toBeLessThanOrEqual((await stat(spec.diffPath)).mtimeMs);
  }
});

test("a merge is done again after an interruption, and not again after its end", async () => {
  const merged = await makeDiff(scattered);
  await writeFile(`${spec.targetPath}.partial`, "what was left");
  await mergeMemory(spec, signal);
  expect((await readFile(spec.targetPath)).equals(merged)).toBe(true);
  await mergeMemory({ ...spec, basePath: join(dir, "not-read") }, signal);
});

test("an image stands on its own once it is synced, however often that is interrupted", async () => {
  const merged = await makeDiff(scattered);
  await mergeMemory(spec, signal);
  await syncImage(spec);
  expect(await readdir(dir)).toEqual(["base", "memory"]);
  await writeFile(`${spec.targetPath}.unsynced`, "of another boot");
  expect(await hasImage(spec)).toBe(true);
  await syncImage(spec);
  expect(await readdir(dir)).toEqual(["base", "memory"]);
  expect((await readFile(spec.targetPath)).equals(merged)).toBe(true);
});

test("an image that was not synced before the host lost power is made again", async () => {
  const merged = await makeDiff(scattered);
  for (const mark of ["of another boot", "", undefined]) {
    await writeFile(spec.targetPath, Buffer.alloc(memoryBytes));
    if (mark === undefined) await rm(`${spec.targetPath}.unsynced`);
    else await writeFile(`${spec.targetPath}.unsynced`, mark);
    expect(await hasImage(spec)).toBe(false);
    await mergeMemory(spec, signal);
    expect((await readFile(spec.targetPath)).equals(merged)).toBe(true);
    expect(await hasImage(spec)).toBe(true);
  }
});

test("an empty diff is the base", async () => {
  const runs = new PageRuns();
  await writeDiff(spec.diffPath, { memoryBytes, baseId: "b", runs }, [], signal);
  await mergeMemory(spec, signal);
  expect((await readFile(spec.targetPath)).equals(base)).toBe(true);
});

test("any changed byte, and any missing one, is noticed, and leaves no image", async () => {
  await makeDiff([
    [0, 1],
    [5, 2],
  ]);
  const whole = await readFile(spec.diffPath);
  const refused = { code: "snapshot_corrupt", message: expect.stringContaining(spec.diffPath) };
  const step = Math.floor(whole.length / 50);
  for (let at = 0; at < whole.length; at += at < 80 ? 1 : step) {
    const changed = Buffer.from(whole);
    changed.writeUInt8(changed.readUInt8(at) ^ 0x10, at);
    await writeFile(spec.diffPath, changed);
    await expect(mergeMemory(spec, signal), `byte ${at}`).rejects.toMatchObject(refused);
    await writeFile(spec.diffPath, whole.subarray(0, at));
    await expect(mergeMemory(spec, signal), `${at} bytes`).rejects.toMatchObject(refused);
  }
  expect(await readdir(dir)).toEqual(["base", "diff"]);
});

test("a diff is not merged with another base, nor with one of another size", async () => {
  await makeDiff(scattered);
  const refused = { code: "snapshot_corrupt" };
  await expect(mergeMemory({ ...spec, baseId: "c" }, signal)).rejects.toMatchObject(refused);
  await writeFile(spec.basePath, base.subarray(pageBytes));
  await expect(mergeMemory(spec, signal)).rejects.toMatchObject(refused);
});

test("a diff that could not be written is not there", async () => {
  const runs = new PageRuns();
  runs.add(0, 2);
  const header = { memoryBytes, baseId: "b", runs };
  const aborted = AbortSignal.abort(new Error("given up"));
  await expect(writeDiff(spec.diffPath, header, [Buffer.alloc(pageBytes)], aborted)).rejects.toThrow(
    "given up",
  );
  await expect(writeDiff(spec.diffPath, header, [Buffer.alloc(pageBytes)], signal)).rejects.toThrow(
    "4096 bytes",
  );
  expect(await readdir(dir)).toEqual(["base"]);
});
