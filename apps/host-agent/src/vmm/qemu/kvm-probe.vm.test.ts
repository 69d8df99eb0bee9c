import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { machineUid } from "../../confinement/machine-user.ts";
import { Walls } from "../../confinement/walls.ts";
import { maxSlots } from "../../network/addresses.ts";
import { findProcesses } from "../../processes/find.ts";
import { isRunning } from "../../processes/identity.ts";
import { findKernel } from "../../templates/kernel.ts";
import { guestRuns, type ProbeOptions, probeKvm } from "./kvm-probe.ts";
import { qemuBinary } from "./qemu-driver.ts";

let stack: AsyncDisposableStack;
let options: ProbeOptions;
let cachePath: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const { signal } = new AbortController();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-kvm-"));
  stack.defer(() => rm(dir, { recursive: true }));
  cachePath = join(dir, "cache", "kvm-probe.json");
  const kernel = await findKernel(join(inject("imagesDir"), "kernels"));
  const confiner = stack.use(await Walls.open({ instance: `probe-${process.pid}` }, signal));
  options = { binary: qemuBinary, qemuVersion: "7.2", kernel, confiner, signal };
});
afterEach(() => stack.disposeAsync());

async function runningProbes(): Promise<number> {
  const found = await findProcesses({ uid: machineUid(maxSlots) });
  return (await Promise.all(found.map(isRunning))).filter(Boolean).length;
}

test("a guest that runs is noticed, and ended", async () => {
  // An emulated guest takes longer than any under KVM, above all beside others.
  expect(await guestRuns("tcg", { ...options, timeoutMs: 60_000 })).toBe(true);
  expect(await runningProbes()).toBe(0);
});

test("a guest that gives no sign of life is ended within the bound", async () => {
  const kernel = { ...options.kernel, initramfsPath: options.kernel.kernelPath };
  const started = performance.now();
  expect(await guestRuns("tcg", { ...options, kernel })).toBe(false);
  expect(performance.now() - started).toBeLessThan(15_000);
  expect(await runningProbes()).toBe(0);
});

test("the verdict on KVM is what a guest did, and is asked once for each boot, QEMU and kernel", async () => {
  const verdict = await probeKvm(cachePath, options);
  expect(verdict.reason).not.toBe("");
  if (verdict.reason.startsWith("/dev/kvm is not there")) return;
  expect(verdict.usable).toBe(await guestRuns("kvm", options));

  const kept = JSON.parse(await readFile(cachePath, "utf8"));
  await writeFile(cachePath, JSON.stringify({ ...kept, reason: "kept" }));
  expect((await probeKvm(cachePath, options)).reason).toBe("kept");
  expect((await probeKvm(cachePath, { ...options, qemuVersion: "9.9" })).reason).not.toBe("kept");
  await writeFile(cachePath, "{");
  expect((await probeKvm(cachePath, options)).reason).toBe(verdict.reason);
});
