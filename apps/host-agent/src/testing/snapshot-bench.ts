import { randomBytes } from "node:crypto";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { Flattener } from "../layers/flattener.ts";
import { type HeldLayer, LayerStore } from "../layers/layer-store.ts";
import { type Layout, layoutOf, makeDirectories } from "../layout.ts";
import { AgentMetrics } from "../metrics/metrics.ts";
import type { SnapshotFacts } from "../snapshots/snapshot-draft.ts";
import { type HeldSnapshot, SnapshotStore, type SnapshotStoreOptions } from "../snapshots/snapshot-store.ts";
import { BootSnapshots } from "../templates/boot-snapshots.ts";
import { TemplateStore } from "../templates/template-store.ts";
import { writeDeviceState } from "../vmm/device-state.ts";
import { savedParts } from "../vmm/frozen.ts";
import { PageRuns, pageBytes } from "../vmm/memory/page-runs.ts";
import { writeDiff } from "../vmm/memory/write-diff.ts";
import { SimulatedDriver } from "../vmm/simulated/simulated-driver.ts";

const { signal } = new AbortController();
const memoryPages = 64;
const memoryBytes = memoryPages * pageBytes;

/** The boot snapshot that everything stands on. */
export const boot = "boot-00000000000000000000";

/** As what the capsule of these tests holds. */
export const holder = "capsule:one";

/** What differs from one start of the store to the next. */
export interface Given extends Partial<Pick<SnapshotStoreOptions, "vmm" | "cpu" | "keepAll" | "limits">> {
  readonly snapshots?: readonly HeldSnapshot[];
  readonly layers?: readonly HeldLayer[];
}

/** A directory as an agent has it, with one boot snapshot, and the stores of snapshots and layers on it. */
export class SnapshotBench {
  readonly layout: Layout;
  readonly #logger = makeLogger("snapshots", "silent");
  #layers: LayerStore | undefined;
  #store: SnapshotStore | undefined;

  private constructor(layout: Layout) {
    this.layout = layout;
  }

  static async make(stack: AsyncDisposableStack): Promise<SnapshotBench> {
    const dir = await mkdtemp(join(tmpdir(), "wrenn-snapshots-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const bench = new SnapshotBench(layoutOf(dir));
    await makeDirectories(bench.layout);
    await bench.#makeBoot();
    stack.defer(() => bench.close());
    return bench;
  }

  get store(): SnapshotStore {
    if (!this.#store) throw new Error("the store is not open");
    return this.#store;
  }

  get layers(): LayerStore {
    if (!this.#layers) throw new Error("the store is not open");
    return this.#layers;
  }

  /** Opens the stores as an agent that starts does, after it has closed those that were open. */
  async open(given: Given = {}): Promise<SnapshotStore> {
    await this.close();
    const { layout } = this;
    const logger = this.#logger;
    const vmm = given.vmm ?? new SimulatedDriver("/absent");
    const cpu = given.cpu;
    const layers = LayerStore.open(layout.layers, given.layers);
    const templates = new TemplateStore(layout.images);
    const made = { layout, vmm, cpu, layers, logger, slots: undefined, signal };
    const boots = new BootSnapshots({ ...made, templates, metrics: new AgentMetrics() });
    const { keepAll, limits } = given;
    const flattener = new Flattener(layout, vmm);
    const options = {
      ...made,
      boots,
      flattener,
      held: given.snapshots ?? [],
      keepAll,
      ...(limits && { limits }),
    };
    this.#store = await SnapshotStore.open(options);
    this.#layers = layers;
    if (keepAll === undefined) await layers.reap(logger);
    return this.#store;
  }

  async close(): Promise<void> {
    await this.#store?.[Symbol.asyncDispose]();
    this.#store = undefined;
  }

  /** A layer as a machine leaves it, held by nobody. @param content what is on the disk. */
  async makeLayer(content: Buffer = randomBytes(100)): Promise<string> {
    const path = join(this.layout.layers, `${newId("disk")}.qcow2`);
    await writeFile(path, content);
    return path;
  }

  /** Saves and commits a snapshot of a machine that was restored from another, with one layer of its own. */
  async commit(source: string, given: Partial<SnapshotFacts> = {}): Promise<Committed> {
    const id = newId("snapshot");
    await using draft = await this.store.begin(id);
    const memory = await this.save(draft.dir, source);
    const ownLayers = given.ownLayers ?? [await this.makeLayer()];
    // An image that is on the disk takes the place of the diff; some tests want both.
    const diffCopy = join(this.layout.root, `${id}.diff`);
    await copyFile(join(draft.dir, savedParts.memoryDiff), diffCopy);
    const { deviceStateSha256 } = await writeDeviceState(draft.dir, Buffer.from("devices"));
    await draft.commit({ ...facts, source, ownLayers, deviceStateSha256, ...given });
    return { id, memory, ownLayers, diffCopy };
  }

  /** Writes the diff of a random page. @returns the whole memory. */
  async save(dir: string, source: string): Promise<Buffer> {
    const base = await this.memory(source);
    const runs = new PageRuns();
    const page = Math.floor(Math.random() * memoryPages);
    runs.add(page, 1);
    const pages = [randomBytes(pageBytes)];
    await writeDiff(join(dir, savedParts.memoryDiff), { memoryBytes, baseId: source, runs }, pages, signal);
    for (const content of pages) content.copy(base, page * pageBytes);
    return base;
  }

  /** The whole memory of a snapshot. */
  async memory(id: string): Promise<Buffer> {
    return await readFile((await this.store.source(id, signal)).machine.memoryPath);
  }

  /** Paths of a snapshot's disk, above those of the boot snapshot. */
  ownLayers(id: string): string[] {
    return this.store
      .manifest(id)
      .diskLayers.slice(2)
      .map(({ path }) => path);
  }

  path(id: string, name: string): string {
    return join(this.layout.snapshots, id, name);
  }

  /** Names of all snapshots, and of what is not one yet or no longer, but for the boot snapshot. */
  async snapshots(): Promise<string[]> {
    return (await readdir(this.layout.snapshots)).filter((name) => name !== boot);
  }

  /** Paths of all layers but that of the boot snapshot. */
  async layerPaths(): Promise<string[]> {
    const names = await readdir(this.layout.layers);
    return names.filter((name) => name !== "boot.qcow2").map((name) => join(this.layout.layers, name));
  }

  async #makeBoot(): Promise<void> {
    const { snapshots, layers, root } = this.layout;
    const dir = join(snapshots, boot);
    await mkdir(dir);
    const [image, layer] = [join(root, "rootfs.ext4"), join(layers, "boot.qcow2")];
    await writeFile(image, "");
    await truncate(image, 2 ** 20);
    await writeFile(layer, "boot");
    await writeFile(join(dir, "memory"), randomBytes(memoryBytes));
    await writeFile(join(dir, "device-state"), "booted");
    await writeFile(join(dir, "boot-token"), "boot token");
    const manifest = {
      ...{ formatVersion: 1, createdAt: "2026-01-01T00:00:00Z", template: "minimal", kernel: "vmlinux" },
      ...{ vcpus: 1, memoryMib: 256, ...facts.versions },
      diskLayers: [
        { path: image, format: "raw" },
        { path: layer, format: "qcow2" },
      ],
    };
    await writeFile(join(dir, "manifest.json"), JSON.stringify(manifest));
  }
}

/** A snapshot that was committed, and what is in it. */
export interface Committed {
  readonly id: string;
  readonly memory: Buffer;
  readonly ownLayers: readonly string[];
  /** Path of a copy of its diff. */
  readonly diffCopy: string;
}

const facts: Omit<SnapshotFacts, "source" | "ownLayers" | "deviceStateSha256"> = {
  ...{ kind: "pause", capsule: "one", template: "minimal", holder, token: "secret" },
  ...{ size: { vcpus: 1, memoryMib: 256 }, diskBytes: 2 ** 20, restoreEpoch: 2 },
  versions: {
    ...{ imageVersion: "1", kernelVersion: "6.1", envdVersion: "1" },
    ...{ vmm: "simulated", vmmVersion: "1" },
  },
};
