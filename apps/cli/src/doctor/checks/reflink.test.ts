import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { contextOf } from "../testing/context.ts";
import { mountTmpfs } from "../testing/tmpfs.ts";
import { checkReflink } from "./reflink.ts";

test("a file system that copies every byte warns, and the attempt leaves nothing", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mountTmpfs(stack, 8);
  expect(await checkReflink(contextOf({ wrennDir: join(dir, "later") }))).toMatchObject({
    status: "warning",
    detail: expect.stringContaining("copies every byte"),
    cure: expect.stringContaining("XFS"),
  });
  expect(await readdir(dir)).toEqual([]);
});

test("where nothing can be written, it says that it could not try", async () => {
  const { status, detail } = await checkReflink(contextOf({ wrennDir: "/proc/wrenn" }));
  expect(status).toBe("warning");
  expect(detail).toContain("could not be tried");
});
