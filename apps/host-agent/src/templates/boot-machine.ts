import { createHash } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { type CapsuleSize, type ErrorCode, newId, WrennError } from "@wrenn/contracts";
import { syncFile } from "../disk-files.ts";
import { checkDiskSpace } from "../disk-space.ts";
import { GuestAgent } from "../guest/guest-agent.ts";
import { bootEpoch, newIdentity } from "../guest/identity.ts";
import { runInGuest } from "../guest/run-in-guest.ts";
import { waitForGuest } from "../guest/wait-for-guest.ts";
import type { Layout } from "../layout.ts";
import type { SlotPool } from "../network/slot-pool.ts";
import { savedParts } from "../vmm/frozen.ts";
import type { BootSpec, DiskLayer, Machine, Vmm } from "../vmm/vmm.ts";
import type { Kernel } from "./kernel.ts";

/** An emulated boot takes some seconds on an idle host; a busy one may need many times that. */
const bootTimeoutMs = 120_000;

/** Room for what a boot writes to its disk, beside its memory. */
const diskReserveMib = 64;

export interface BootOptions {
  readonly layout: Layout;
  readonly vmm: Vmm;
  /** Absent when the driver brings a network of its own. */
  readonly slots: SlotPool | undefined;
  readonly signal: AbortSignal;
}

/** What is booted, and where what it becomes is put. */
export interface Boot {
  readonly kernel: Kernel;
  readonly size: CapsuleSize;
  /** Lowest first. */
  readonly diskLayers: readonly DiskLayer[];
  /** Path of the layer that is made on top of them; the caller's to remove. */
  readonly diskPath: string;
  /** Gets the memory and the device state. */
  readonly dir: string;
  /** Opens the guest agent in the memory. */
  readonly token: string;
  /** How a disk that does not boot is called. */
  readonly failure: { readonly code: ErrorCode; readonly what: string };
}

export interface GuestVersions {
  readonly kernelVersion: string;
  readonly envdVersion: string;
}

/** Boots a kernel on a disk, exercises the guest once, and saves the machine, all of it on the host's disk. */
export async function bootMachine(boot: Boot, options: BootOptions): Promise<GuestVersions> {
  const { layout, vmm, signal } = options;
  await checkDiskSpace(layout.root, boot.size.memoryMib + diskReserveMib);
  await using stack = new AsyncDisposableStack();
  const spec = await bootSpec(boot, options, stack);
  const machine = stack.use(await vmm.boot(spec, signal));
  const versions = await exercise(machine, boot, signal);
  await machine.saveAndEnd();
  // Everything that is restored from it stands on these.
  for (const path of [spec.memoryPath, spec.deviceStatePath, spec.diskPath]) await syncFile(path);
  return versions;
}

async function bootSpec(
  boot: Boot,
  { layout, slots, signal }: BootOptions,
  stack: AsyncDisposableStack,
): Promise<BootSpec> {
  const { size, diskLayers, diskPath, dir, kernel, token } = boot;
  const id = newId("disk");
  const runDir = join(layout.machines, id);
  await mkdir(runDir, { mode: 0o700 });
  stack.defer(() => rm(runDir, { recursive: true, force: true }));
  const slot = await slots?.acquire(signal);
  if (slot) stack.defer(async () => await slots?.release(slot));
  return {
    ...{ id, runDir, diskPath, size, slot, diskLayers },
    kernelPath: kernel.kernelPath,
    initramfsPath: kernel.initramfsPath,
    memoryPath: join(dir, savedParts.memory),
    deviceStatePath: join(dir, savedParts.deviceState),
    bootTokenSha256: createHash("sha256").update(token).digest("hex"),
  };
}

/**
 * Waits for the guest and does in it what every create and exec will do, so that the snapshot's memory has what that
 * reads from the disk; then writes back what that wrote, so that no clone has to.
 */
async function exercise(machine: Machine, boot: Boot, signal: AbortSignal): Promise<GuestVersions> {
  const { token, failure } = boot;
  await using guest = new GuestAgent(machine.guestUrl, token);
  try {
    const envdVersion = await waitForGuest(guest, machine, bootTimeoutMs, signal);
    const computer = {
      kind: "boot",
      restoreEpoch: bootEpoch,
      hostname: "capsule",
      accessToken: token,
    } as const;
    await guest.claim(newIdentity(machine, computer), signal);
    const kernelVersion = await runInGuest(guest, "uname", ["-r"], signal);
    await guest.prepareSnapshot(signal);
    return { envdVersion, kernelVersion: kernelVersion.trim().slice(0, 128) };
  } catch (cause) {
    if (signal.aborted || !(cause instanceof WrennError)) throw cause;
    const console = (await machine.consoleTail()) || "empty";
    const sentence = `${failure.what} did not boot: ${cause.message}. Console: ${console}`;
    throw new WrennError(failure.code, sentence, { cause });
  }
}
