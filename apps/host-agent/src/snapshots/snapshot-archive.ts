import { createReadStream } from "node:fs";
import { access, readFile, rm, utimes } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { isId, WrennError } from "@wrenn/contracts";
import type { Archive } from "../archive/archive.ts";
import type { Flattener } from "../layers/flattener.ts";
import type { LayerStore } from "../layers/layer-store.ts";
import { savedParts } from "../vmm/frozen.ts";
import type { DiskLayer } from "../vmm/vmm.ts";
import {
  type ArchivedManifest,
  type ArchivedPart,
  archivedParts,
  archiveFormatVersion,
  parseArchivedManifest,
} from "./archived-manifest.ts";
import { compressed, decompressed, measured } from "./compressed.ts";
import { ownerOf } from "./owner.ts";
import type { SnapshotDraft } from "./snapshot-draft.ts";
import type { SnapshotStore } from "./snapshot-store.ts";
import { writeSparse } from "./sparse-file.ts";

export interface SnapshotArchiveOptions {
  readonly archive: Archive;
  readonly snapshots: SnapshotStore;
  readonly layers: LayerStore;
  readonly flattener: Flattener;
}

/**
 * Snapshots that a host has put away, each compressed: its device state, its memory, and its disk without the image of its
 * template, which every host has that can restore it.
 */
export class SnapshotArchive {
  readonly #options: SnapshotArchiveOptions;

  constructor(options: SnapshotArchiveOptions) {
    this.#options = options;
  }

  async has(id: string): Promise<boolean> {
    return (await this.#options.archive.list(`${idOf(id)}/`)).includes(manifestKey(id));
  }

  /** Copies a snapshot, which the caller holds, to the archive. It is there when its manifest is, which comes last. */
  async put(id: string, signal: AbortSignal): Promise<void> {
    const { archive, snapshots } = this.#options;
    const { machine, token } = await snapshots.open(id, signal);
    await using disk = await this.#diskOf(id, machine.diskLayers, signal);
    const put = async (part: ArchivedPart, from: Readable) => {
      const { content, measure } = compressed(from);
      await archive.put(keyOf(id, part), content, signal);
      return measure();
    };
    const parts = {
      "device-state": await put("device-state", createReadStream(machine.deviceStatePath)),
      memory: await put("memory", createReadStream(machine.memoryPath)),
      disk: await put("disk", createReadStream(disk.path)),
      token: await put("token", Readable.from([Buffer.from(token)])),
    };
    const { base: _, ...snapshot } = snapshots.manifest(id);
    const diskLayers = [...machine.diskLayers.slice(0, 1), { path: disk.path, format: "qcow2" as const }];
    const manifest: ArchivedManifest = {
      formatVersion: archiveFormatVersion,
      snapshot: { ...snapshot, diskLayers },
      parts,
    };
    const content = Readable.from([Buffer.from(`${JSON.stringify(manifest, undefined, 2)}\n`)]);
    await archive.put(manifestKey(id), content, signal);
  }

  /**
   * Brings a snapshot back. It stays in the archive until it is removed from there. One that is here already is held.
   *
   * @throws {WrennError} `snapshot_corrupt` when it is not what was put.
   */
  async fetch(id: string, holder: string, signal: AbortSignal): Promise<void> {
    const { snapshots, layers } = this.#options;
    snapshots.hold(id, holder);
    if (snapshots.has(id)) return;
    await using undo = new AsyncDisposableStack();
    undo.defer(async () => snapshots.release(id, holder));
    const { snapshot, parts } = await this.#manifest(id, signal);
    await snapshots.checkRoom(parts.memory.bytes + parts.disk.bytes);
    const draft = undo.use(await snapshots.begin(id));
    const path = layers.newPath();
    const fetching = `fetch:${id}`;
    undo.defer(() => layers.release(path, fetching));
    layers.hold(path, fetching);
    const [image] = snapshot.diskLayers;
    if (image) await checkImage(image);
    await this.#fetchPart(id, "disk", parts.disk, path, signal);
    await this.#fetchMachine(id, parts, draft, signal);
    const tokenPath = join(draft.dir, "token.fetched");
    await this.#fetchPart(id, "token", parts.token, tokenPath, signal);
    const token = await readFile(tokenPath, "utf8");
    await rm(tokenPath);
    const disk: DiskLayer = { path, format: "qcow2" };
    const diskLayers = [...(image ? [image] : []), disk];
    await draft.commitAs({ ...snapshot, id, diskLayers }, { token, holder, ownLayers: [path] });
    await layers.release(path, fetching);
    undo.move();
  }

  /** Removes a snapshot from the archive, or what an interrupted put has left of it. */
  async remove(id: string): Promise<void> {
    const { archive } = this.#options;
    await archive.delete(manifestKey(id));
    for (const part of archivedParts) await archive.delete(keyOf(id, part));
  }

  async #manifest(id: string, signal: AbortSignal): Promise<ArchivedManifest> {
    const key = manifestKey(id);
    const stream = await this.#options.archive.get(key, signal).catch(missing);
    const manifest = parseArchivedManifest(await text(stream), key);
    if (manifest.snapshot.id === id) return manifest;
    throw new WrennError("snapshot_corrupt", `${key} of the archive is of snapshot ${manifest.snapshot.id}`);
  }

  /** The device state comes last, for an image that is younger is taken for one that was changed. */
  async #fetchMachine(
    id: string,
    { memory, "device-state": state }: ArchivedManifest["parts"],
    { dir }: SnapshotDraft,
    signal: AbortSignal,
  ): Promise<void> {
    const path = join(dir, savedParts.memory);
    await this.#fetchPart(id, "memory", memory, path, signal);
    const seconds = Math.floor(Date.now() / 1000) - 1;
    await utimes(path, seconds, seconds);
    await this.#fetchPart(id, "device-state", state, join(dir, savedParts.deviceState), signal);
  }

  /** What was read is compared at its end; so nothing is of use until then. */
  async #fetchPart(
    id: string,
    part: ArchivedPart,
    expected: { readonly sha256: string; readonly bytes: number },
    path: string,
    signal: AbortSignal,
  ): Promise<void> {
    const key = keyOf(id, part);
    const { content, measure } = measured(await this.#options.archive.get(key, signal).catch(missing));
    try {
      await writeSparse(path, decompressed(Readable.from(content)), signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (!isOfZlib(cause)) throw cause;
      throw new WrennError("snapshot_corrupt", `${key} of the archive is damaged`, { cause });
    }
    const { sha256, bytes } = measure();
    if (sha256 === expected.sha256 && bytes === expected.bytes) return;
    throw new WrennError("snapshot_corrupt", `${key} of the archive is not what was put there`);
  }

  /** One layer with all that is above the raw image. Disposing of it removes it, if it was made for this. */
  async #diskOf(
    id: string,
    chain: readonly DiskLayer[],
    signal: AbortSignal,
  ): Promise<AsyncDisposable & { readonly path: string }> {
    const { layers, flattener } = this.#options;
    const [, only, ...more] = chain;
    if (only && more.length === 0) return { path: only.path, [Symbol.asyncDispose]: async () => {} };
    const path = layers.newPath();
    const holder = `archive:${ownerOf(id)}`;
    await using undo = new AsyncDisposableStack();
    undo.defer(() => layers.release(path, holder));
    layers.hold(path, holder);
    await flattener.flatten({ layers: chain, kept: 1, path }, signal);
    const owned = undo.move();
    return { path, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }
}

async function checkImage({ path }: DiskLayer): Promise<void> {
  await access(path).catch((cause: unknown) => {
    throw new WrennError("snapshot_corrupt", `the image ${path} of an archived snapshot is missing`, {
      cause,
    });
  });
}

function missing(cause: unknown): never {
  if (!(cause instanceof WrennError && cause.code === "not_found")) throw cause;
  throw new WrennError("snapshot_corrupt", cause.message, { cause });
}

/** Codes of zlib's errors, and that of a stream that ends too early. */
function isOfZlib(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code.startsWith("ZSTD_") || code.startsWith("Z_") || code === "ERR_STREAM_PREMATURE_CLOSE";
}

function idOf(id: string): string {
  if (isId("snapshot", id)) return id;
  throw new RangeError(`${JSON.stringify(id)} is not a snapshot id`);
}

function keyOf(id: string, part: ArchivedPart): string {
  return `${idOf(id)}/${part}.zst`;
}

function manifestKey(id: string): string {
  return `${idOf(id)}/manifest.json`;
}
