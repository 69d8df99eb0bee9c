import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeFileAtomic } from "./write-file.ts";

test("replaces a file with the mode asked for and leaves nothing beside it", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-write-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const path = join(dir, "token");

  await writeFileAtomic(path, "one");
  await writeFileAtomic(path, "two");

  expect(await readFile(path, "utf8")).toBe("two");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(await readdir(dir)).toEqual(["token"]);
});
