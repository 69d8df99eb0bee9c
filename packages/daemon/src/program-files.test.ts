import { expect, test } from "vitest";
import { listProgramFiles, readProgramFile } from "./program-files.ts";

test("from source, a program's files are those of the repository", async () => {
  expect(await listProgramFiles("images/guest")).toEqual(["customize-base", "initramfs-init", "wrenn-init"]);
  expect((await readProgramFile("images/guest/wrenn-init")).toString()).toMatch(/^#!\/bin\/sh\n/);
});

test("a file that is not there is an error", async () => {
  await expect(readProgramFile("images/guest/nothing")).rejects.toMatchObject({ code: "ENOENT" });
});
