import { mkdtemp, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "@wrenn/daemon";
import { afterEach, beforeEach, expect, test } from "vitest";
import { diskBytesOf, makeEmptyLayer } from "./qcow2.ts";

const mebibyte = 2 ** 20;

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "wrenn-qcow2-"));
});
afterEach(() => rm(dir, { recursive: true }));

test.each([1, 512, 513, 2048, 100 * 1024, 16 * 1024 * 1024])(
  "a layer of %i MiB is what QEMU makes",
  async (mib) => {
    const path = join(dir, "layer");
    await makeEmptyLayer(path, mib * mebibyte);
    const check = await runCommand("qemu-img", ["check", "-f", "qcow2", path]);
    expect(check.stdout).toContain("No errors were found");
    const { stdout } = await runCommand("qemu-img", ["info", "--output=json", "-f", "qcow2", path]);
    expect(JSON.parse(stdout)).toMatchObject({ "virtual-size": mib * mebibyte, "cluster-size": 65536 });
    expect(JSON.parse(stdout)).not.toHaveProperty("backing-filename");
    expect(await diskBytesOf({ path, format: "qcow2" })).toBe(mib * mebibyte);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  },
);

test("a layer is never made over something", async () => {
  const path = join(dir, "layer");
  await makeEmptyLayer(path, mebibyte);
  await expect(makeEmptyLayer(path, mebibyte)).rejects.toMatchObject({ code: "EEXIST" });
  await expect(makeEmptyLayer(join(dir, "odd"), 1000)).rejects.toThrow(RangeError);
  await expect(makeEmptyLayer(join(dir, "huge"), 2 ** 50)).rejects.toThrow(RangeError);
});

test("the size of a disk is that of its file when it is raw; what is not a layer is refused", async () => {
  const path = join(dir, "raw");
  await writeFile(path, "no layer at all, and longer than any header is");
  await truncate(path, mebibyte);
  expect(await diskBytesOf({ path, format: "raw" })).toBe(mebibyte);
  await expect(diskBytesOf({ path, format: "qcow2" })).rejects.toMatchObject({ code: "snapshot_corrupt" });
  await truncate(path, 10);
  await expect(diskBytesOf({ path, format: "qcow2" })).rejects.toMatchObject({ code: "snapshot_corrupt" });
});
