import { link, mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { isId, newId, WrennError } from "@wrenn/contracts";
import { type Logger, syncDirectory, writeFileAtomic } from "@wrenn/daemon";
import { exists, syncFile, writeNewSynced } from "../disk-files.ts";
import { checkDiskSpace } from "../disk-space.ts";
import type { Flattener } from "../layers/flattener.ts";
import { Holders } from "../layers/holders.ts";
import type { LayerStore } from "../layers/layer-store.ts";
import type { Layout } from "../layout.ts";
import { BootSnapshots } from "../templates/boot-snapshots.ts";
import { savedParts } from "../vmm/frozen.ts";
import type { DiskLayer, Vmm } from "../vmm/vmm.ts";
import { checkCompatible } from "./compatibility.ts";
import { type ChainLimits, chainLimits, DiskFlattening } from "./disk-flattening.ts";
import { type SnapshotKind, type SnapshotManifest, writeSnapshotManifest } from "./manifest.ts";
import { MemoryImages, type SnapshotMemory } from "./memory-images.ts";
import { newManifest } from "./new-manifest.ts";
import { checkLayers, openSource } from "./open-source.ts";
import { ownBytes } from "./own-bytes.ts";
import { ownerOf } from "./owner.ts";
import { partialMark, removedMark, snapshotParts } from "./parts.ts";
import type { RestoreSource } from "./restore-source.ts";
import { type CommitTerms, SnapshotDraft, type SnapshotFacts } from "./snapshot-draft.ts";
import { readStored, type StoredSnapshot } from "./stored-snapshot.ts";

/** Who holds which snapshot. */
export interface HeldSnapshot {
  readonly id: string;
  readonly holder: string;
}

export interface SnapshotStoreOptions {
  readonly layout: Layout;
  readonly vmm: Vmm;
  /** As `processorOf` answers it. */
  readonly cpu: string | undefined;
  readonly layers: LayerStore;
  readonly boots: BootSnapshots;
  readonly flattener: Flattener;
  /** What capsules of an earlier life of the agent hold. */
  readonly held: Iterable<HeldSnapshot>;
  /** Why nothing may be removed that nobody is known to hold; absent when all holders are known. */
  readonly keepAll?: string | undefined;
  /** How long the chains of disk layers may be. */
  readonly limits?: ChainLimits;
  readonly logger: Logger;
}

/** Room that a host keeps free when something is saved: for journals, and for what guests write meanwhile. */
const reserveMib = 64;
const mebibyte = 1024 * 1024;

/** Holds a template until that is deleted. */
const offer = "template";

/**
 * The snapshots of this host. Each is an immutable directory that is there as long as somebody holds it: a capsule that is
 * paused in it or was restored from it, a snapshot whose memory is still a diff of its memory, or, for a template, its name.
 * Holders are not on the disk: they are what journals and manifests say, found again at each start.
 *
 * Boot snapshots may be held like others, and stay anyway.
 */
export class SnapshotStore implements AsyncDisposable {
  readonly #options: SnapshotStoreOptions;
  readonly #stored = new Map<string, StoredSnapshot>();
  readonly #holders = new Holders();
  readonly #removing = new Map<string, Promise<void>>();
  readonly #images: MemoryImages;
  readonly #flattening: DiskFlattening;
  readonly #ending = new AbortController();

  private constructor(options: SnapshotStoreOptions) {
    this.#options = options;
    this.#images = new MemoryImages({
      find: (id) => this.#memoryOf(id),
      completed: (id) => this.#releaseBase(id),
      logger: options.logger,
    });
    this.#flattening = new DiskFlattening({
      limits: chainLimits,
      ...options,
      layersOf: (id) => this.#stored.get(id)?.manifest?.diskLayers ?? [],
      replace: (id, layers) => this.#replaceLayers(id, layers),
    });
  }

  /** Finds the snapshots that are there and who holds them, removes the others, and goes on with what was under way. */
  static async open(options: SnapshotStoreOptions): Promise<SnapshotStore> {
    const store = new SnapshotStore(options);
    await store.#load();
    return store;
  }

  /** Whether a snapshot of that id has been committed. One that cannot be read has. */
  has(id: string): boolean {
    return this.#stored.has(id);
  }

  /** @throws {WrennError} `snapshot_corrupt` when it is missing or cannot be read. */
  manifest(id: string): SnapshotManifest {
    const stored = this.#stored.get(id);
    if (stored?.manifest) return stored.manifest;
    throw stored?.problem ?? new WrennError("snapshot_corrupt", `${this.dirOf(id)} is missing`);
  }

  /** Every template that is not deleted. */
  list(): SnapshotManifest[] {
    return [...this.#stored.values()].flatMap(({ id, manifest }) =>
      manifest && this.#isOffered(id) ? [manifest] : [],
    );
  }

  /** A template that capsules can be created from. @throws {WrennError} `not_found`. */
  offered(id: string): SnapshotManifest {
    if (this.#isOffered(id)) return this.manifest(id);
    throw new WrennError("not_found", `snapshot ${JSON.stringify(id)} does not exist`, {
      field: "snapshot_id",
    });
  }

  /** Every snapshot that can be read. */
  ids(): string[] {
    return [...this.#stored.values()].flatMap(({ id, manifest }) => (manifest ? [id] : []));
  }

  /** Has nothing restored from a snapshot any more, now and after every start. */
  async condemn(id: string, problem: WrennError): Promise<void> {
    const stored = this.#stored.get(id);
    if (!stored) return;
    this.#stored.set(id, { ...stored, condemned: problem });
    await writeFileAtomic(join(stored.dir, snapshotParts.condemned), problem.message);
  }

  /** Bytes on the disk that are there for this snapshot alone. */
  async sizeBytes(id: string): Promise<number> {
    const stored = this.#stored.get(id);
    if (!stored) return 0;
    return await ownBytes(stored, this.#options.layers);
  }

  /** @throws {WrennError} `host_disk_full`, which says how much is missing. */
  async checkRoom(bytes: number): Promise<void> {
    await checkDiskSpace(this.#options.layout.snapshots, Math.ceil(bytes / mebibyte) + reserveMib);
  }

  /** Keeps a snapshot. Whoever wants its {@link source} does this first. */
  hold(id: string, holder: string): void {
    this.#holders.add(id, holder);
  }

  /** Lets go of a snapshot; with its last holder it goes, in the background. Doing it again is fine. */
  release(id: string, holder: string): void {
    if (!this.#holders.remove(id, holder)) return;
    const stored = this.#stored.get(id);
    if (!stored) return;
    this.#stored.delete(id);
    const removed = this.#remove(stored)
      .catch((err: unknown) => this.#options.logger.error({ err, snapshot: id }, "a snapshot stays"))
      .finally(() => this.#removing.delete(id));
    this.#removing.set(id, removed);
  }

  /** Begins a snapshot. What a machine is saved to its directory, is one when it is committed. */
  async begin(id: string): Promise<SnapshotDraft> {
    if (!isId("snapshot", id)) throw new RangeError(`${JSON.stringify(id)} is not a snapshot id`);
    if (this.has(id)) throw new WrennError("conflict", `snapshot ${id} is there already`);
    // One that is fetched anew has the name, and would have the layers, of the one that is going.
    await this.#removing.get(id);
    const dir = `${this.dirOf(id)}${partialMark}${newId("disk")}`;
    await mkdir(dir, { mode: 0o700 });
    const commit = (draft: SnapshotDraft, facts: SnapshotFacts) => this.#commit(draft, facts);
    return new SnapshotDraft(id, dir, { commit, commitAs: (...given) => this.#commitAs(...given) });
  }

  /** Takes a template from those that capsules can be created from. It goes when nothing stands on it any more. */
  async delete(id: string): Promise<void> {
    const stored = this.#stored.get(id);
    if (!stored || (stored.manifest && !this.#isOffered(id))) return;
    await writeFileAtomic(join(stored.dir, snapshotParts.deleted), "");
    this.release(id, stored.manifest ? offer : keeperOf(id));
  }

  /** Makes another snapshot of what one is. Both have the same files, and each goes by itself. */
  async duplicate(id: string, newSnapshotId: string, kind: SnapshotKind, holder?: string): Promise<void> {
    const as = ownerOf(newSnapshotId);
    this.hold(id, as);
    try {
      await this.#images.settle(id, this.#ending.signal);
      await using draft = await this.begin(newSnapshotId);
      const from = this.dirOf(id);
      for (const name of [savedParts.memory, savedParts.deviceState]) {
        if (await exists(join(from, name))) await link(join(from, name), join(draft.dir, name));
      }
      const token = await readFile(join(from, snapshotParts.token), "utf8");
      // Not before: its layers may be replaced until others hold them too.
      const { base: _, ...manifest } = this.manifest(id);
      const createdAt = new Date().toISOString();
      await this.#commitAs(draft, { ...manifest, id: newSnapshotId, kind, createdAt }, { token, holder });
    } finally {
      this.release(id, as);
    }
  }

  /**
   * What a machine is restored from. Whoever asks holds it. Waits until its memory is whole.
   *
   * @throws {WrennError} `snapshot_incompatible` when this host cannot restore it, `snapshot_corrupt` when nobody can.
   */
  async source(id: string, signal: AbortSignal): Promise<RestoreSource> {
    if (BootSnapshots.isOne(id)) return await this.#options.boots.byId(id);
    checkCompatible(this.manifest(id), this.#options);
    return await this.open(id, signal);
  }

  /** A snapshot whose layers stay what they are from here on, for who needs its disk alone. */
  async disk(id: string, signal: AbortSignal): Promise<SnapshotManifest> {
    await this.#flattening.use(id, signal);
    const manifest = this.manifest(id);
    await checkLayers(manifest);
    return manifest;
  }

  /** As {@link source}, for who copies a snapshot instead of restoring it. */
  async open(id: string, signal: AbortSignal): Promise<RestoreSource> {
    const condemned = this.#stored.get(id)?.condemned;
    if (condemned) throw condemned;
    await this.#images.complete(id, signal);
    await this.#flattening.use(id, signal);
    return await openSource(this.dirOf(id), this.manifest(id));
  }

  /** Ends what is under way, which the next life of the agent does again, and waits for removals. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new WrennError("shutting_down", "the agent is ending"));
    await Promise.all([this.#images[Symbol.asyncDispose](), this.#flattening[Symbol.asyncDispose]()]);
    // What goes lets go of others.
    while (this.#removing.size > 0) await Promise.all(this.#removing.values());
  }

  async #load(): Promise<void> {
    const { layout, boots, held, keepAll } = this.#options;
    for (const { id, holder } of held) this.hold(id, holder);
    const unreadable = await boots.holdLayers();
    for (const name of await readdir(layout.snapshots)) {
      const path = join(layout.snapshots, name);
      if (isId("snapshot", name)) unreadable.push(...(await this.#find(path)));
      else if (isUnfinished(name) && !keepAll) await rm(path, { recursive: true, force: true });
    }
    await this.#keepForUnreadable(unreadable);
    this.#removeUnheld();
    for (const [id, { manifest }] of this.#stored) {
      if (manifest?.base) this.#images.begin(id);
      this.#flattening.begin(id);
    }
  }

  /** @returns its id when it cannot be read. */
  async #find(dir: string): Promise<string[]> {
    const stored = await readStored(dir, this.#options.logger);
    const { id, manifest, isDeleted } = stored;
    this.#stored.set(id, stored);
    if (!manifest) return [id];
    for (const { path } of manifest.diskLayers) this.#options.layers.hold(path, ownerOf(id));
    if (manifest.kind === "template" && !isDeleted) this.hold(id, offer);
    if (manifest.base && (await exists(join(dir, savedParts.memoryDiff))))
      this.hold(manifest.base, ownerOf(id));
    return [];
  }

  #removeUnheld(): void {
    for (const { id, manifest } of [...this.#stored.values()]) {
      if (this.#holders.isHeld(id)) continue;
      if (!manifest) this.hold(id, keeperOf(id));
      else {
        this.#options.logger.warn({ snapshot: id }, "removing a snapshot that nothing stands on");
        this.release(id, ownerOf(id));
      }
    }
  }

  /** What cannot be read may need anything that is there, and nobody can tell. */
  async #keepForUnreadable(unreadable: readonly string[]): Promise<void> {
    const { layers, keepAll } = this.#options;
    for (const lost of unreadable) {
      for (const id of this.#stored.keys()) if (id !== lost) this.hold(id, keeperOf(lost));
      await layers.holdAll(keeperOf(lost));
    }
    if (keepAll === undefined) return;
    for (const id of this.#stored.keys()) if (!this.#holders.isHeld(id)) this.hold(id, keepAll);
    await layers.holdAll(keepAll, "unheld");
  }

  async #commit(draft: SnapshotDraft, facts: SnapshotFacts): Promise<void> {
    const { source, ownLayers } = facts;
    const manifest = await newManifest(draft, facts, this.dirOf(source), this.#options);
    const isBoot = BootSnapshots.isOne(source);
    const below = isBoot ? (await this.#options.boots.byId(source)).machine : this.manifest(source);
    const own = ownLayers.map((path) => ({ path, format: "qcow2" as const }));
    const diskLayers = [...below.diskLayers, ...own];
    await this.#commitAs(draft, { ...manifest, diskLayers }, facts);
  }

  /** The layers that it is to stand on are held from here on, without a step in which they might be let go of. */
  async #commitAs(
    draft: SnapshotDraft,
    manifest: SnapshotManifest,
    { token, holder, ownLayers = [] }: CommitTerms,
  ): Promise<void> {
    const { layout, layers } = this.#options;
    const { id, base, kind, diskLayers } = manifest;
    const dir = this.dirOf(id);
    await using undo = new AsyncDisposableStack();
    undo.defer(() => layers.releaseAll(ownerOf(id)));
    for (const { path } of diskLayers) layers.hold(path, ownerOf(id));
    if (base !== undefined) {
      undo.defer(async () => this.release(base, ownerOf(id)));
      this.hold(base, ownerOf(id));
    }
    await Promise.all([
      writeNewSynced(join(draft.dir, snapshotParts.token), token),
      writeNewSynced(join(draft.dir, snapshotParts.manifest), `${JSON.stringify(manifest, undefined, 2)}\n`),
      ...ownLayers.map(syncFile),
      syncDirectory(layout.layers),
    ]);
    await syncDirectory(draft.dir);
    await rename(draft.dir, dir);
    // One that may not be there after a power cut is none.
    undo.defer(() => rename(dir, draft.dir));
    await syncDirectory(layout.snapshots);
    undo.move();
    this.#stored.set(id, { id, dir, manifest, isDeleted: false });
    if (holder !== undefined) this.hold(id, holder);
    if (kind === "template") this.hold(id, offer);
    if (base !== undefined) this.#images.begin(id);
    this.#flattening.begin(id);
  }

  async #replaceLayers(id: string, diskLayers: readonly DiskLayer[]): Promise<void> {
    const stored = this.#stored.get(id);
    if (!stored?.manifest) throw new WrennError("conflict", `snapshot ${id} is gone`);
    const manifest = { ...stored.manifest, diskLayers: [...diskLayers] };
    await writeSnapshotManifest(stored.dir, manifest);
    if (this.#stored.has(id)) this.#stored.set(id, { ...stored, manifest });
  }

  /** @param stored is not among the snapshots any more. */
  async #remove({ id, dir }: StoredSnapshot): Promise<void> {
    const { layout, layers } = this.#options;
    await Promise.all([this.#images.cancel(id), this.#flattening.forget(id)]);
    const removed = join(layout.snapshots, `${removedMark}${id}-${newId("disk")}`);
    await rename(dir, removed);
    await syncDirectory(layout.snapshots);
    await rm(removed, { recursive: true, force: true });
    await layers.releaseAll(ownerOf(id));
    await layers.releaseAll(keeperOf(id));
    for (const holder of [ownerOf(id), keeperOf(id)]) {
      for (const held of this.#holders.heldBy(holder)) this.release(held, holder);
    }
  }

  #releaseBase(id: string): void {
    const base = this.#stored.get(id)?.manifest?.base;
    if (base !== undefined) this.release(base, ownerOf(id));
  }

  #memoryOf(id: string): SnapshotMemory | undefined {
    if (BootSnapshots.isOne(id)) return { dir: this.dirOf(id) };
    const stored = this.#stored.get(id);
    return stored && { dir: stored.dir, base: stored.manifest?.base };
  }

  #isOffered(id: string): boolean {
    return this.#holders.of(id).has(offer);
  }

  /** Directory of a snapshot, or where it would be. */
  dirOf(id: string): string {
    return join(this.#options.layout.snapshots, id);
  }
}

/** Whether a directory is no snapshot yet, or no longer. */
function isUnfinished(name: string): boolean {
  return name.includes(partialMark) || name.startsWith(removedMark);
}

/** As what a snapshot that cannot be read holds everything: nobody knows what it needs. */
function keeperOf(id: string): string {
  return `unreadable:${id}`;
}
