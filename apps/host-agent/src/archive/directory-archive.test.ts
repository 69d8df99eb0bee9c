import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer, text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Archive } from "./archive.ts";
import { DirectoryArchive } from "./directory-archive.ts";

const { signal } = new AbortController();

let dir: string;
let archive: Archive;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "wrenn-archive-"));
  archive = await DirectoryArchive.open(dir, "here");
});
afterEach(() => rm(dir, { recursive: true }));

async function* pieces(...list: string[]) {
  for (const piece of list) yield Buffer.from(piece);
}

test("what is put is got, replaced, listed and deleted", async () => {
  await archive.put("one/a", pieces("first, ", "second"), signal);
  await archive.put("one/b.zst", pieces(), signal);
  await archive.put("two/a", pieces("other"), signal);
  expect(await text(await archive.get("one/a", signal))).toBe("first, second");
  expect(await buffer(await archive.get("one/b.zst", signal))).toHaveLength(0);
  expect(await archive.list("one/")).toEqual(["one/a", "one/b.zst"]);
  await archive.put("one/a", pieces("third"), signal);
  expect(await text(await archive.get("one/a", signal))).toBe("third");
  for (const key of ["one/a", "one/b.zst", "one/a"]) await archive.delete(key);
  expect(await archive.list("one/")).toEqual([]);
  expect(await archive.list("two/")).toEqual(["two/a"]);
  await expect(archive.get("one/a", signal)).rejects.toMatchObject({ code: "not_found" });
});

test("a put that fails or is given up leaves nothing, nor does one that was interrupted", async () => {
  async function* failing() {
    yield Buffer.from("begun");
    throw new Error("the disk has gone");
  }
  await expect(archive.put("one/a", failing(), signal)).rejects.toThrow("the disk has gone");
  const given = AbortSignal.abort(new Error("given up"));
  await expect(archive.put("one/a", pieces("x"), given)).rejects.toThrow("given up");
  expect(await archive.list("one/")).toEqual([]);
  expect(await readdir(join(dir, ".incoming-here"))).toEqual([]);
  await writeFile(join(dir, ".incoming-here", "left"), "over");
  await mkdir(join(dir, ".incoming-there"));
  await writeFile(join(dir, ".incoming-there", "of"), "another agent");
  archive = await DirectoryArchive.open(dir, "here");
  expect(await readdir(join(dir, ".incoming-here"))).toEqual([]);
  expect(await readdir(join(dir, ".incoming-there"))).toEqual(["of"]);
});

test.each([
  "",
  "/",
  "..",
  "a/../b",
  "a//b",
  "/a",
  ".incoming-here/x",
  "A",
  "a b",
  "a/",
  `${"a/".repeat(9)}a`,
])("%j is no key", async (key) => {
  const refused = { code: "invalid_request" };
  await expect(archive.put(key, pieces("x"), signal)).rejects.toMatchObject(refused);
  await expect(archive.get(key, signal)).rejects.toMatchObject(refused);
  await expect(archive.delete(key)).rejects.toMatchObject(refused);
});
