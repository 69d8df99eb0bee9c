import { mkdtemp, rmdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { lockDirectory } from "./lock-directory.ts";

test("a directory has one holder for each purpose, until it is given back", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-lock-"));
  stack.defer(() => rmdir(dir));

  const first = await lockDirectory(dir, "test");
  await expect(lockDirectory(dir, "test")).rejects.toMatchObject({ code: "conflict" });
  stack.use(await lockDirectory(dir, "other"));
  await first[Symbol.asyncDispose]();
  stack.use(await lockDirectory(dir, "test"));
});
