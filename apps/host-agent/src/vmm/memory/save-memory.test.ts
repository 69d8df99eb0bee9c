import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "@wrenn/daemon";
import { afterEach, beforeEach, expect, test } from "vitest";
import { mergeMemory } from "./merge.ts";
import { hasImage } from "./merged-image.ts";
import { PageRuns, pageBytes } from "./page-runs.ts";
import { type MemorySave, saveMemory } from "./save-memory.ts";

const { signal } = new AbortController();
const memoryPages = 3000;

let dir: string;
let into: string;
let save: MemorySave;
let whole: Buffer;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "wrenn-save-"));
  into = join(dir, "snapshot");
  await mkdir(into);
  const basePath = join(dir, "base");
  whole = randomBytes(memoryPages * pageBytes);
  await writeFile(basePath, whole);
  const runs = new PageRuns();
  runs.add(7, 1200);
  runs.add(memoryPages - 1, 1);
  const pages = randomBytes(runs.bytes);
  let at = 0;
  for (const { first, count } of runs) at += pages.copy(whole, first * pageBytes, at, at + count * pageBytes);
  save = { header: { memoryBytes: whole.length, baseId: "b", runs }, pages: [pages], basePath };
});
afterEach(() => rm(dir, { recursive: true }));

const paths = () => ({ targetPath: join(into, "memory"), diffPath: join(into, "memory-diff") });

test("a save makes the image that a merge of its diff would make", async () => {
  await saveMemory(into, save, signal);
  expect(await hasImage(paths())).toBe(true);
  const image = await readFile(paths().targetPath);
  expect(image.equals(whole)).toBe(true);
  expect((await stat(paths().targetPath)).mtimeMs).toBeLessThanOrEqual(
    (await stat(paths().diffPath)).mtimeMs,
  );
  const merged = { ...paths(), targetPath: join(dir, "merged") };
  await mergeMemory({ ...merged, basePath: save.basePath ?? "", baseId: "b" }, signal);
  expect((await readFile(merged.targetPath)).equals(image)).toBe(true);
});

test("a save without a base, or whose base cannot be copied, is its diff alone", async () => {
  for (const basePath of [undefined, join(dir, "absent")]) {
    await saveMemory(into, { ...save, basePath }, signal);
    expect(await readdir(into)).toEqual(["memory-diff"]);
    await rm(paths().diffPath);
  }
});

test.runIf(process.getuid?.() === 0)("an image never takes the room that the diff needs", async () => {
  const small = join(dir, "small");
  await mkdir(small);
  // Room for the diff of 5 MiB, and for the image of 12 MiB too, but for little else.
  await runCommand("mount", ["-t", "tmpfs", "-o", "size=40m", "small", small]);
  try {
    await saveMemory(small, save, signal);
    expect(await readdir(small)).toEqual(["memory-diff"]);
  } finally {
    await runCommand("umount", [small]);
  }
});

test("of a save that fails nothing is left", async () => {
  const pages = [Buffer.alloc(pageBytes)];
  await expect(saveMemory(into, { ...save, pages }, signal)).rejects.toThrow("4096 bytes of pages");
  const given = AbortSignal.abort(new Error("given up"));
  await expect(saveMemory(into, save, given)).rejects.toThrow("given up");
  expect(await readdir(into)).toEqual([]);
});
