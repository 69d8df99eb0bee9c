import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { type CapsuleSize, WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import type { LayerStore } from "../layers/layer-store.ts";
import type { AgentMetrics } from "../metrics/metrics.ts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { Vmm } from "../vmm/vmm.ts";
import type { BootOptions } from "./boot-machine.ts";
import { type BootManifest, formatVersion, readManifest } from "./boot-manifest.ts";
import { openBootSource } from "./boot-source.ts";
import { findKernel } from "./kernel.ts";
import { type BootSubject, makeBootSnapshot } from "./make-boot-snapshot.ts";
import type { TemplateStore } from "./template-store.ts";

/** What the names of their directories begin with. */
const prefix = "boot-";

/** The signal ends boots under way: they belong to the agent, not to the create that happened to come first. */
export interface BootSnapshotOptions extends BootOptions {
  readonly templates: TemplateStore;
  /** As `processorOf` answers it. */
  readonly cpu: string | undefined;
  /** Keeps the layers that boots have made. */
  readonly layers: LayerStore;
  readonly metrics: AgentMetrics;
  readonly logger: Logger;
}

/** One boot per (image, size, kernel, VMM build), kept as an immutable directory; every create restores from it. */
export class BootSnapshots {
  readonly #options: BootSnapshotOptions;
  readonly #known = new Map<string, Promise<RestoreSource>>();

  constructor(options: BootSnapshotOptions) {
    this.#options = options;
  }

  /** Whether a snapshot's id is that of a boot. */
  static isOne(id: string): boolean {
    return id.startsWith(prefix);
  }

  /** The snapshot for a template and size. The first call for a key boots; calls meanwhile share that boot. */
  async get(template: string, size: CapsuleSize): Promise<RestoreSource> {
    const { templates, layout, vmm, cpu } = this.#options;
    const [image, kernel] = await Promise.all([templates.resolve(template), findKernel(layout.kernels)]);
    const subject = { image, kernel, size };
    const id = `${prefix}${keyOf(subject, vmm, cpu)}`;
    const known = this.#known.get(id);
    if (known !== undefined) return await known;
    const loading = this.#load(id, subject);
    this.#known.set(id, loading);
    loading.catch(() => this.#known.delete(id));
    return await loading;
  }

  /** One that is there, whatever made it necessary. @throws {WrennError} `snapshot_corrupt` when it is not. */
  async byId(id: string): Promise<RestoreSource> {
    const dir = join(this.#options.layout.snapshots, id);
    const known = this.#known.get(id);
    const source = await (known ?? this.#open(dir));
    if (source) return source;
    throw new WrennError("snapshot_corrupt", `the boot snapshot ${dir} is missing`);
  }

  /** Has those that are there hold their layers. @returns the ids of those that cannot be read. */
  async holdLayers(): Promise<string[]> {
    const { snapshots } = this.#options.layout;
    const unreadable: string[] = [];
    for (const id of (await readdir(snapshots)).filter(BootSnapshots.isOne)) {
      try {
        this.#hold(id, await readManifest(join(snapshots, id)));
      } catch (err) {
        this.#options.logger.error({ err, snapshot: id }, "a boot snapshot cannot be read");
        unreadable.push(id);
      }
    }
    return unreadable;
  }

  async #load(id: string, subject: BootSubject): Promise<RestoreSource> {
    const dir = join(this.#options.layout.snapshots, id);
    const present = await this.#open(dir);
    if (present) return present;
    const started = performance.now();
    await makeBootSnapshot(dir, subject, this.#options);
    const made = await this.#open(dir);
    if (!made) throw new WrennError("internal_error", `the boot snapshot ${dir} vanished`);
    const bootMs = Math.round(performance.now() - started);
    this.#options.metrics.bootSnapshotMade(bootMs / 1000);
    this.#options.logger.info(
      { template: subject.image.template, ...subject.size, bootMs },
      "made a boot snapshot",
    );
    return made;
  }

  async #open(dir: string): Promise<RestoreSource | undefined> {
    const manifest = await readManifest(dir);
    if (!manifest) return undefined;
    this.#hold(basename(dir), manifest);
    return await openBootSource(dir, manifest);
  }

  #hold(id: string, manifest: BootManifest | undefined): void {
    for (const { path } of manifest?.diskLayers ?? []) this.#options.layers.hold(path, `snapshot:${id}`);
  }
}

/** What a snapshot depends on. Another value of any of it needs another boot. */
function keyOf({ image, kernel, size }: BootSubject, vmm: Vmm, cpu: string | undefined): string {
  const { name, version, network } = vmm;
  const dependencies = [image.template, image.version, kernel.name, size.vcpus, size.memoryMib];
  const host = [name, version, network, ...(cpu ? [cpu] : [])];
  const identity = JSON.stringify([formatVersion, ...dependencies, ...host]);
  return createHash("sha256").update(identity).digest("hex").slice(0, 20);
}
