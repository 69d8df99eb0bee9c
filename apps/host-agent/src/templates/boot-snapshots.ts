import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type CapsuleSize, newId, WrennError } from "@wrenn/contracts";
import { type Logger, syncDirectory, writeFileAtomic } from "@wrenn/daemon";
import { checkDiskSpace } from "../disk-space.ts";
import { GuestAgent } from "../guest/guest-agent.ts";
import { runInGuest } from "../guest/run-in-guest.ts";
import { waitForGuest } from "../guest/wait-for-guest.ts";
import type { Layout } from "../layout.ts";
import type { SlotPool } from "../network/slot-pool.ts";
import type { DiskLayer, Machine, MachineSnapshot, Vmm } from "../vmm/vmm.ts";
import { type BootManifest, readManifest } from "./boot-manifest.ts";
import { findKernel, type Kernel } from "./kernel.ts";
import type { TemplateImage, TemplateStore } from "./template-store.ts";

/** An emulated boot takes two seconds on an idle host; a busy one may need many times that. */
const bootTimeoutMs = 120_000;

/** Room for what a boot writes to its disk, beside its memory. */
const diskReserveMib = 64;

/** A booted template, ready to be restored from. */
export interface BootSnapshot {
  readonly manifest: BootManifest;
  readonly machine: MachineSnapshot;
  /** Opens the guest agent of a machine restored from this snapshot, until it is claimed. */
  readonly bootToken: string;
}

export interface BootSnapshotOptions {
  readonly layout: Layout;
  readonly templates: TemplateStore;
  readonly vmm: Vmm;
  /** Absent when the driver brings a network of its own. */
  readonly slots: SlotPool | undefined;
  readonly logger: Logger;
  /** Ends boots under way. They belong to the agent, not to the create that happened to come first. */
  readonly signal: AbortSignal;
}

/** One boot per (image, size, kernel, VMM build), kept as an immutable directory; every create restores from it. */
export class BootSnapshots {
  readonly #options: BootSnapshotOptions;
  readonly #known = new Map<string, Promise<BootSnapshot>>();

  constructor(options: BootSnapshotOptions) {
    this.#options = options;
  }

  /** The snapshot for a template and size. The first call for a key boots; calls meanwhile share that boot. */
  async get(template: string, size: CapsuleSize): Promise<BootSnapshot> {
    const image = await this.#options.templates.resolve(template);
    const kernel = await findKernel(this.#options.layout.kernels);
    const key = keyOf(image, kernel, size, this.#options.vmm);
    const known = this.#known.get(key);
    if (known !== undefined) return await known;
    const making = this.#load(key, image, kernel, size);
    this.#known.set(key, making);
    making.catch(() => this.#known.delete(key));
    return await making;
  }

  async #load(key: string, image: TemplateImage, kernel: Kernel, size: CapsuleSize): Promise<BootSnapshot> {
    const dir = join(this.#options.layout.snapshots, `boot-${key}`);
    const present = await readManifest(dir);
    if (present) return await openSnapshot(dir, present);
    const started = performance.now();
    await this.#make(dir, image, kernel, size);
    const manifest = await readManifest(dir);
    if (!manifest) throw new WrennError("internal_error", `the boot snapshot ${dir} vanished`);
    const bootMs = Math.round(performance.now() - started);
    this.#options.logger.info({ template: image.template, ...size, bootMs }, "made a boot snapshot");
    return await openSnapshot(dir, manifest);
  }

  /** Boots the template, exercises the guest once, and commits the snapshot by a rename. */
  async #make(dir: string, image: TemplateImage, kernel: Kernel, size: CapsuleSize): Promise<void> {
    const { layout, vmm, slots, signal } = this.#options;
    await checkDiskSpace(layout.root, size.memoryMib + diskReserveMib);
    await using stack = new AsyncDisposableStack();
    const id = newId("disk");
    const partial = `${dir}.partial-${id}`;
    await mkdir(partial, { mode: 0o700 });
    stack.defer(() => rm(partial, { recursive: true, force: true }));
    const runDir = join(layout.machines, id);
    await mkdir(runDir, { mode: 0o700 });
    stack.defer(() => rm(runDir, { recursive: true, force: true }));
    const diskPath = join(layout.layers, `${id}.qcow2`);
    const disk = stack.use(new AsyncDisposableStack());
    disk.defer(() => rm(diskPath, { force: true }));
    const slot = await slots?.acquire(signal);
    if (slot) stack.defer(async () => await slots?.release(slot));

    const bootToken = randomBytes(32).toString("hex");
    const spec = {
      id,
      runDir,
      diskPath,
      size,
      slot,
      ...kernel,
      rootfsPath: image.rootfsPath,
      memoryPath: join(partial, "memory"),
      deviceStatePath: join(partial, "device-state"),
      bootTokenSha256: createHash("sha256").update(bootToken).digest("hex"),
    };
    const machine = stack.use(await vmm.boot(spec, signal));
    const guest = await exercise(machine, bootToken, signal);
    await machine.saveAndEnd();

    const diskLayers: DiskLayer[] = [
      { path: image.rootfsPath, format: "raw" },
      { path: diskPath, format: "qcow2" },
    ];
    const manifest: BootManifest = {
      formatVersion: 1,
      createdAt: new Date().toISOString(),
      template: image.template,
      imageVersion: image.version,
      kernel: kernel.name,
      vmm: vmm.name,
      vmmVersion: vmm.version,
      ...size,
      ...guest,
      diskLayers,
    };
    await writeFileAtomic(join(partial, "boot-token"), bootToken);
    await writeFileAtomic(join(partial, "manifest.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
    await rename(partial, dir);
    await syncDirectory(layout.snapshots);
    disk.move();
  }
}

/** Waits for the guest and runs a program in it, so that what every exec touches is in memory already. */
async function exercise(
  machine: Machine,
  bootToken: string,
  signal: AbortSignal,
): Promise<{ kernelVersion: string; envdVersion: string }> {
  await using guest = new GuestAgent(machine.guestUrl, bootToken);
  try {
    const envdVersion = await waitForGuest(guest, machine, bootTimeoutMs, signal);
    const kernelVersion = await runInGuest(guest, "uname", ["-r"], signal);
    return { envdVersion, kernelVersion: kernelVersion.trim().slice(0, 128) };
  } catch (cause) {
    if (signal.aborted || !(cause instanceof WrennError)) throw cause;
    const lines = await machine.consoleTail();
    throw new WrennError(
      "image_corrupt",
      `the template did not boot: ${cause.message}. Console: ${lines || "empty"}`,
      { cause },
    );
  }
}

async function openSnapshot(dir: string, manifest: BootManifest): Promise<BootSnapshot> {
  return {
    manifest,
    machine: {
      memoryPath: join(dir, "memory"),
      deviceStatePath: join(dir, "device-state"),
      diskLayers: manifest.diskLayers,
    },
    bootToken: await readFile(join(dir, "boot-token"), "utf8"),
  };
}

/** What a snapshot depends on. Another value of any of it needs another boot. */
function keyOf(image: TemplateImage, kernel: Kernel, size: CapsuleSize, vmm: Vmm): string {
  const parts = [
    image.template,
    image.version,
    kernel.name,
    size.vcpus,
    size.memoryMib,
    vmm.name,
    vmm.version,
    vmm.network,
  ];
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 20);
}
