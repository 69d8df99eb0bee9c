import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { contextOf } from "../testing/context.ts";
import { mountTmpfs } from "../testing/tmpfs.ts";
import { checkDiskSpace } from "./disk-space.ts";

test("a disk without room fails, one with little room warns, and more is needed before images are built", async () => {
  await using stack = new AsyncDisposableStack();
  const full = await mountTmpfs(stack, 24);
  expect(await checkDiskSpace(contextOf({ wrennDir: full }))).toMatchObject({
    status: "failing",
    detail: expect.stringMatching(/24 MiB free.*3.0 GiB are needed/),
    cure: expect.stringContaining("WRENN_DIR"),
  });

  const small = await mountTmpfs(stack, 2048);
  expect((await checkDiskSpace(contextOf({ wrennDir: small }))).status).toBe("failing");
  await mkdir(join(small, "images/minimal"), { recursive: true });
  await writeFile(join(small, "images/minimal/rootfs.ext4"), "");
  expect((await checkDiskSpace(contextOf({ wrennDir: small }))).status).toBe("warning");
});

test("a directory that does not exist is looked at where it would be made", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mountTmpfs(stack, 24);
  const { detail } = await checkDiskSpace(contextOf({ wrennDir: join(dir, "not/yet") }));
  expect(detail).toContain(`below ${dir}`);
});
