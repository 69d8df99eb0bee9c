import { createHash, randomBytes } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type CapsuleSize, newId, WrennError } from "@wrenn/contracts";
import { syncDirectory, writeFileAtomic } from "@wrenn/daemon";
import { checkDiskSpace } from "../disk-space.ts";
import { GuestAgent } from "../guest/guest-agent.ts";
import { bootEpoch, newIdentity } from "../guest/identity.ts";
import { runInGuest } from "../guest/run-in-guest.ts";
import { waitForGuest } from "../guest/wait-for-guest.ts";
import type { Layout } from "../layout.ts";
import type { SlotPool } from "../network/slot-pool.ts";
import type { BootSpec, Machine, Vmm } from "../vmm/vmm.ts";
import { type BootManifest, formatVersion } from "./boot-manifest.ts";
import type { Kernel } from "./kernel.ts";
import type { TemplateImage } from "./template-store.ts";

/** An emulated boot takes some seconds on an idle host; a busy one may need many times that. */
const bootTimeoutMs = 120_000;

/** Room for what a boot writes to its disk, beside its memory. */
const diskReserveMib = 64;

/** Names of the parts in a snapshot's directory, beside its manifest. */
export const parts = {
  memory: "memory",
  deviceState: "device-state",
  bootToken: "boot-token",
} as const;

export interface BootOptions {
  readonly layout: Layout;
  readonly vmm: Vmm;
  /** Absent when the driver brings a network of its own. */
  readonly slots: SlotPool | undefined;
  readonly signal: AbortSignal;
}

/** What is booted. */
export interface BootSubject {
  readonly image: TemplateImage;
  readonly kernel: Kernel;
  readonly size: CapsuleSize;
}

/** Boots a template, exercises the guest once, and commits the snapshot to `dir` by a rename. */
export async function makeBootSnapshot(
  dir: string,
  subject: BootSubject,
  options: BootOptions,
): Promise<void> {
  const { layout, vmm, signal } = options;
  await checkDiskSpace(layout.root, subject.size.memoryMib + diskReserveMib);
  await using stack = new AsyncDisposableStack();
  const partial = `${dir}.partial-${newId("disk")}`;
  await mkdir(partial, { mode: 0o700 });
  stack.defer(() => rm(partial, { recursive: true, force: true }));

  const bootToken = randomBytes(32).toString("hex");
  const disk = stack.use(new AsyncDisposableStack());
  const spec = await bootSpec(partial, subject, bootToken, options, stack, disk);
  const machine = stack.use(await vmm.boot(spec, signal));
  const versions = await exercise(machine, bootToken, signal);
  await machine.saveAndEnd();

  await writeFileAtomic(join(partial, parts.bootToken), bootToken);
  const manifest = manifestOf(subject, spec, vmm, versions);
  await writeFileAtomic(join(partial, "manifest.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await rename(partial, dir);
  await syncDirectory(layout.snapshots);
  disk.move();
}

/** @param disk owns the disk layer, which outlives the boot when the snapshot is committed. */
async function bootSpec(
  partial: string,
  { image, kernel, size }: BootSubject,
  bootToken: string,
  { layout, slots, signal }: BootOptions,
  stack: AsyncDisposableStack,
  disk: AsyncDisposableStack,
): Promise<BootSpec> {
  const id = newId("disk");
  const runDir = join(layout.machines, id);
  await mkdir(runDir, { mode: 0o700 });
  stack.defer(() => rm(runDir, { recursive: true, force: true }));
  const diskPath = join(layout.layers, `${id}.qcow2`);
  disk.defer(() => rm(diskPath, { force: true }));
  const slot = await slots?.acquire(signal);
  if (slot) stack.defer(async () => await slots?.release(slot));
  return {
    id,
    runDir,
    diskPath,
    size,
    slot,
    kernelPath: kernel.kernelPath,
    initramfsPath: kernel.initramfsPath,
    diskLayers: [{ path: image.rootfsPath, format: "raw" }],
    memoryPath: join(partial, parts.memory),
    deviceStatePath: join(partial, parts.deviceState),
    bootTokenSha256: createHash("sha256").update(bootToken).digest("hex"),
  };
}

interface GuestVersions {
  readonly kernelVersion: string;
  readonly envdVersion: string;
}

/**
 * Waits for the guest and does in it what every create and exec will do, so that the snapshot's memory has what that
 * reads from the disk; then writes back what that wrote, so that no clone has to.
 */
async function exercise(machine: Machine, bootToken: string, signal: AbortSignal): Promise<GuestVersions> {
  await using guest = new GuestAgent(machine.guestUrl, bootToken);
  try {
    const envdVersion = await waitForGuest(guest, machine, bootTimeoutMs, signal);
    const computer = {
      kind: "boot",
      restoreEpoch: bootEpoch,
      hostname: "capsule",
      accessToken: bootToken,
    } as const;
    await guest.claim(newIdentity(machine, computer), signal);
    const kernelVersion = await runInGuest(guest, "uname", ["-r"], signal);
    await guest.prepareSnapshot(signal);
    return { envdVersion, kernelVersion: kernelVersion.trim().slice(0, 128) };
  } catch (cause) {
    if (signal.aborted || !(cause instanceof WrennError)) throw cause;
    const console = (await machine.consoleTail()) || "empty";
    const sentence = `the template did not boot: ${cause.message}. Console: ${console}`;
    throw new WrennError("image_corrupt", sentence, { cause });
  }
}

function manifestOf(subject: BootSubject, spec: BootSpec, vmm: Vmm, versions: GuestVersions): BootManifest {
  return {
    formatVersion,
    createdAt: new Date().toISOString(),
    template: subject.image.template,
    imageVersion: subject.image.version,
    kernel: subject.kernel.name,
    vmm: vmm.name,
    vmmVersion: vmm.version,
    ...subject.size,
    ...versions,
    diskLayers: [...spec.diskLayers, { path: spec.diskPath, format: "qcow2" }],
  };
}
