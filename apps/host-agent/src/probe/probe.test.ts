import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { layoutOf } from "../layout.ts";
import { probeCgroup } from "./cgroup.ts";
import { probeImages } from "./images.ts";
import { probeKernel } from "./kernel.ts";
import { probeKvm } from "./kvm.ts";

async function directory(stack: AsyncDisposableStack): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "wrenn-probe-"));
  stack.defer(() => rm(dir, { recursive: true }));
  return dir;
}

test("a host without the device has no KVM, and what that means is said", async () => {
  expect(await probeKvm("/dev/absent")).toMatchObject({
    status: "warning",
    detail: expect.stringContaining("software emulation"),
    cure: expect.any(String),
  });
});

test("cgroup v2 counts when its controllers are there", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await directory(stack);
  expect(await probeCgroup(dir)).toMatchObject({ status: "warning", cure: expect.any(String) });
  await writeFile(join(dir, "cgroup.controllers"), "cpuset cpu io memory hugetlb pids\n");
  expect(await probeCgroup(dir)).toMatchObject({ status: "ok" });
  await writeFile(join(dir, "cgroup.controllers"), "cpuset cpu pids\n");
  expect(await probeCgroup(dir)).toMatchObject({
    status: "warning",
    detail: expect.stringContaining("memory, io"),
  });
});

test("no kernel and no images yet is a warning with the command that makes them", async () => {
  await using stack = new AsyncDisposableStack();
  const layout = layoutOf(await directory(stack));
  expect(await probeKernel(layout)).toMatchObject({ status: "warning", cure: "make images" });
  expect(await probeImages(layout)).toMatchObject({ status: "warning", cure: "make images" });
});

test("a file that is no kernel, and one that is no image, fail", async () => {
  await using stack = new AsyncDisposableStack();
  const layout = layoutOf(await directory(stack));
  await mkdir(layout.kernels);
  await writeFile(join(layout.kernels, "vmlinux-6.1.0"), "MZ");
  await writeFile(join(layout.kernels, "initramfs-6.1.0.cpio.gz"), "");
  expect(await probeKernel(layout)).toMatchObject({
    status: "failing",
    detail: expect.stringContaining("vmlinux-6.1.0"),
  });
  await mkdir(join(layout.images, "mine"), { recursive: true });
  await writeFile(join(layout.images, "mine/rootfs.ext4"), "no image");
  expect(await probeImages(layout)).toMatchObject({
    status: "failing",
    detail: expect.stringContaining("mine"),
  });
});
