import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { moduleDependencies, orderModules } from "./kernel-modules.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wrenn-modules-"));
  await writeFile(join(folder, "modules.builtin"), "kernel/fs/ext4/ext4.ko\nkernel/drivers/ptp/ptp.ko\n");
  await module("kernel/net/virtio_net.ko", "net_failover,virtio");
  await module("kernel/net/net_failover.ko", "failover");
  await module("kernel/net/failover.ko", "");
  await module("kernel/virtio/virtio.ko", "");
  await module("kernel/char/virtio-rng.ko", "virtio");
});

afterEach(() => rm(folder, { recursive: true }));

async function module(path: string, depends: string): Promise<void> {
  await mkdir(dirname(join(folder, path)), { recursive: true });
  await writeFile(join(folder, path), `\x7fELF...license=GPL\0depends=${depends}\0retpoline=Y\0`);
}

async function order(required: string[], optional: string[] = []): Promise<string[]> {
  const modules = await orderModules(folder, { required, optional });
  return modules.map(({ name, required: needed }) => (needed ? name : `${name}?`));
}

test("a module comes after all it depends on, each once", async () => {
  expect(await order(["virtio_net", "virtio_rng"])).toEqual([
    "failover",
    "net_failover",
    "virtio",
    "virtio_net",
    "virtio_rng",
  ]);
});

test("what is built into the kernel is left out", async () => {
  expect(await order(["ext4", "virtio"], ["ptp"])).toEqual(["virtio"]);
});

test("an optional module is marked, what a required one needs is not", async () => {
  expect(await order(["virtio"], ["virtio_rng"])).toEqual(["virtio", "virtio_rng?"]);
});

test("a module that the package lacks is named", async () => {
  await expect(order(["virtio_blk"])).rejects.toThrow("The kernel package has no module virtio_blk.");
});

test("a file without the entry depends on nothing", () => {
  expect(moduleDependencies(Buffer.from("\x7fELF"))).toEqual([]);
});
