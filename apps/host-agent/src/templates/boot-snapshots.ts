import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CapsuleSize, WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import type { AgentMetrics } from "../metrics/metrics.ts";
import type { MachineSnapshot, Vmm } from "../vmm/vmm.ts";
import { type BootManifest, formatVersion, readManifest } from "./boot-manifest.ts";
import { findKernel } from "./kernel.ts";
import { type BootOptions, type BootSubject, makeBootSnapshot, parts } from "./make-boot-snapshot.ts";
import type { TemplateStore } from "./template-store.ts";

/** A booted template, ready to be restored from. */
export interface BootSnapshot {
  readonly manifest: BootManifest;
  readonly machine: MachineSnapshot;
  /** Opens the guest agent of a machine restored from this snapshot, until it is claimed. */
  readonly bootToken: string;
}

/** The signal ends boots under way: they belong to the agent, not to the create that happened to come first. */
export interface BootSnapshotOptions extends BootOptions {
  readonly templates: TemplateStore;
  readonly metrics: AgentMetrics;
  readonly logger: Logger;
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
    const { templates, layout, vmm } = this.#options;
    const [image, kernel] = await Promise.all([templates.resolve(template), findKernel(layout.kernels)]);
    const subject = { image, kernel, size };
    const key = keyOf(subject, vmm);
    const known = this.#known.get(key);
    if (known !== undefined) return await known;
    const loading = this.#load(join(layout.snapshots, `boot-${key}`), subject);
    this.#known.set(key, loading);
    loading.catch(() => this.#known.delete(key));
    return await loading;
  }

  async #load(dir: string, subject: BootSubject): Promise<BootSnapshot> {
    const present = await readManifest(dir);
    if (present) return await openSnapshot(dir, present);
    const started = performance.now();
    await makeBootSnapshot(dir, subject, this.#options);
    const made = await readManifest(dir);
    if (!made) throw new WrennError("internal_error", `the boot snapshot ${dir} vanished`);
    const bootMs = Math.round(performance.now() - started);
    this.#options.metrics.bootSnapshotMade(bootMs / 1000);
    this.#options.logger.info(
      { template: subject.image.template, ...subject.size, bootMs },
      "made a boot snapshot",
    );
    return await openSnapshot(dir, made);
  }
}

async function openSnapshot(dir: string, manifest: BootManifest): Promise<BootSnapshot> {
  return {
    manifest,
    machine: {
      memoryPath: join(dir, parts.memory),
      deviceStatePath: join(dir, parts.deviceState),
      diskLayers: manifest.diskLayers,
    },
    bootToken: await readFile(join(dir, parts.bootToken), "utf8"),
  };
}

/** What a snapshot depends on. Another value of any of it needs another boot. */
function keyOf({ image, kernel, size }: BootSubject, vmm: Vmm): string {
  const { name, version, network } = vmm;
  const dependencies = [image.template, image.version, kernel.name, size.vcpus, size.memoryMib];
  const identity = JSON.stringify([formatVersion, ...dependencies, name, version, network]);
  return createHash("sha256").update(identity).digest("hex").slice(0, 20);
}
