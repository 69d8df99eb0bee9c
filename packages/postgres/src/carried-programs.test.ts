import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zstdCompressSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { unpackOnce } from "./carried-programs.ts";

let parent: string;
let dir: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), "wrenn-carried-"));
  dir = join(parent, "programs");
});
afterEach(() => rm(parent, { recursive: true }));

/** An archive with one file, `bin/program`. */
async function archiveOf(content: string): Promise<Buffer> {
  const tree = await mkdtemp(join(parent, "tree-"));
  await mkdir(join(tree, "bin"));
  await writeFile(join(tree, "bin/program"), content);
  return zstdCompressSync(execFileSync("tar", ["-c", "-C", tree, "."]));
}

test("an archive is read and unpacked once", async () => {
  const archive = await archiveOf("one");
  let reads = 0;
  const read = async () => {
    reads += 1;
    return archive;
  };
  const first = await unpackOnce(dir, "a", read);
  expect(await unpackOnce(dir, "a", read)).toBe(first);
  expect(await readFile(join(first, "bin/program"), "utf8")).toBe("one");
  expect(reads).toBe(1);
});

test("another version takes the place of the last one", async () => {
  const [one, two] = [await archiveOf("one"), await archiveOf("two")];
  await unpackOnce(dir, "a", async () => one);
  const unpacked = await unpackOnce(dir, "b", async () => two);
  expect(await readFile(join(unpacked, "bin/program"), "utf8")).toBe("two");
  expect(await readdir(dir)).toEqual(["b"]);
});

test("an unpacking that fails or is interrupted leaves nothing under the name, and the next one begins anew", async () => {
  const archive = await archiveOf("one");
  await expect(unpackOnce(dir, "a", async () => archive.subarray(0, 60))).rejects.toThrow();
  await expect(unpackOnce(dir, "a", async () => archive, AbortSignal.abort())).rejects.toThrow();
  expect(await readdir(dir)).toEqual(["a.new"]);
  await unpackOnce(dir, "a", async () => archive);
  expect(await readdir(dir)).toEqual(["a"]);
});
