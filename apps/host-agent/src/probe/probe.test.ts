import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readAgentConfig } from "../config.ts";
import { layoutOf } from "../layout.ts";
import { probeCgroup } from "./cgroup.ts";
import { probeImages } from "./images.ts";
import { probeKernel } from "./kernel.ts";
import { probeMachines } from "./machines.ts";
import { probeNetwork } from "./network.ts";

async function directory(stack: AsyncDisposableStack): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "wrenn-probe-"));
  stack.defer(() => rm(dir, { recursive: true }));
  return dir;
}

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

test("what is probed is put up and taken down again", async () => {
  await using stack = new AsyncDisposableStack();
  const layout = layoutOf(await directory(stack));
  const config = readAgentConfig({ WRENN_DIR: layout.root });
  const findings = await probeMachines({ config, layout, signal: AbortSignal.timeout(20_000) });
  expect(findings).toMatchObject([
    { name: "VMM", status: "ok", detail: expect.stringMatching(/^QEMU \d+\.\d+.* as qemu-/) },
    // Without a kernel there is no guest to try it with.
    { name: "KVM", status: "warning", cure: expect.any(String) },
    { name: "confinement", status: "ok" },
  ]);
  const cgroup = await probeCgroup(layout);
  expect(["ok", "warning"]).toContain(cgroup.status);
  expect(cgroup.status === "ok" || cgroup.cure).toBeTruthy();
  expect(await readdir(layout.root)).toEqual([]);
});

test("a VMM that is asked for and cannot be had fails", async () => {
  await using stack = new AsyncDisposableStack();
  const layout = layoutOf(await directory(stack));
  const config = readAgentConfig({ WRENN_DIR: layout.root, WRENN_VMM: "qemu-kvm" });
  const [vmm] = await probeMachines({ config, layout, signal: AbortSignal.timeout(20_000) });
  expect(vmm).toMatchObject({ name: "VMM", status: "failing", cure: expect.stringContaining("WRENN_VMM") });
});

test("the simulated driver is never mistaken for a machine", async () => {
  const config = readAgentConfig({ WRENN_VMM: "simulated" });
  const options = { config, layout: layoutOf("/nonexistent"), signal: AbortSignal.timeout(20_000) };
  expect(await probeMachines(options)).toMatchObject([{ status: "warning" }]);
  expect(await probeNetwork(config)).toMatchObject({ status: "warning" });
});
