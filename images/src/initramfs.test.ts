import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { buildInitramfs } from "./initramfs.ts";

const busybox = "/bin/busybox";
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wrenn-initramfs-"));
});

afterEach(() => rm(folder, { recursive: true }));

test.skipIf(!existsSync(busybox))("the same parts give the same bytes, owned by root", async () => {
  const init = join(folder, "init");
  const file = join(folder, "virtio-rng.ko");
  await writeFile(init, "#!/bin/sh\n");
  await writeFile(file, "module");
  const modules = [{ name: "virtio_rng", file, required: true }];
  const build = async (name: string) => {
    await buildInitramfs({ busybox, init, modules }, join(folder, name), join(folder, `${name}.d`));
    return readFile(join(folder, name));
  };
  const first = await build("first");
  await utimes(init, 1, 1);
  const second = await build("second");

  expect(first.equals(second)).toBe(true);
  const archive = gunzipSync(first).toString("latin1");
  // The header's fields up to the modification time: inode, mode, uid, gid, links, time.
  expect(archive).toMatch(/070701[0-9A-F]{8}000081ED000000000000000000000001000000000000000A[^/]*init\0/);
  expect(archive).toContain("required virtio_rng\n");
  expect(archive).toContain("modules/virtio_rng.ko\0");
});
