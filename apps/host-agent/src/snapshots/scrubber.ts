import { createHash } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { WrennError } from "@wrenn/contracts";
import { type Logger, writeFileAtomic } from "@wrenn/daemon";
import { exists } from "../disk-files.ts";
import { savedParts } from "../vmm/frozen.ts";
import { snapshotParts } from "./parts.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

/** From the end of one snapshot to the beginning of the next. */
const pauseMs = 10 * 60_000;

/** What is read at a time, and how long the host's disk is left alone after it: at most 32 MiB/s. */
const pieceBytes = 4 * 1024 * 1024;
const restMs = 125;

/**
 * Reads the snapshots of this host over and over, slowly, and compares them with what they were. A disk that loses bits is
 * noticed before a capsule is resumed from them. Nobody waits for it, and a restore does not compare memories at all.
 */
export class Scrubber implements AsyncDisposable {
  readonly #snapshots: SnapshotStore;
  readonly #logger: Logger;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  /** Those that have been read, the one whose turn is farthest away last. */
  readonly #done = new Set<string>();

  constructor(snapshots: SnapshotStore, logger: Logger) {
    this.#snapshots = snapshots;
    this.#logger = logger;
    this.#running = this.#run(this.#ending.signal).catch((err: unknown) => {
      if (!this.#ending.signal.aborted) logger.error({ err }, "snapshots are not compared any more");
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    for (;;) {
      await setTimeout(pauseMs, undefined, { signal, ref: false });
      const id = this.#next();
      if (id === undefined) continue;
      await scrub(id, this.#snapshots, signal).catch((err: unknown) => {
        signal.throwIfAborted();
        if (this.#snapshots.has(id)) this.#logger.error({ err, snapshot: id }, "a snapshot is damaged");
      });
    }
  }

  /** The snapshot that has not been read for longest. */
  #next(): string | undefined {
    const ids = this.#snapshots.ids();
    for (const id of this.#done) if (!ids.includes(id)) this.#done.delete(id);
    const next = ids.find((id) => !this.#done.has(id)) ?? [...this.#done][0];
    if (next === undefined) return undefined;
    this.#done.delete(next);
    this.#done.add(next);
    return next;
  }
}

/**
 * Compares a snapshot with what it was. The digest of a memory is taken the first time, when it is on the disk.
 *
 * @throws {WrennError} `snapshot_corrupt`; from then on nothing is restored from the snapshot.
 */
export async function scrub(id: string, snapshots: SnapshotStore, signal: AbortSignal): Promise<void> {
  const dir = snapshots.dirOf(id);
  const { deviceStateSha256, memoryless } = snapshots.manifest(id);
  if (memoryless || (await exists(join(dir, savedParts.memoryDiff)))) return;
  const deviceState = join(dir, savedParts.deviceState);
  const memory = join(dir, savedParts.memory);
  const digestPath = join(dir, snapshotParts.memoryDigest);
  const [state, pages] = [await digestOf(deviceState, signal), await digestOf(memory, signal)];
  const known = (await exists(digestPath)) ? await readFile(digestPath, "utf8") : undefined;
  if (!snapshots.has(id)) return;
  if (known === undefined) await writeFileAtomic(digestPath, pages);
  const damaged = [
    ...(state === deviceStateSha256 ? [] : [deviceState]),
    ...(pages === (known ?? pages) ? [] : [memory]),
  ];
  if (damaged.length === 0) return;
  const sentence = `${damaged.join(" and ")} changed on the disk; the capsule can be started from its disk`;
  const problem = new WrennError("snapshot_corrupt", sentence);
  await snapshots.condemn(id, problem);
  throw problem;
}

async function digestOf(path: string, signal: AbortSignal): Promise<string> {
  await using file = await open(path, "r");
  const hash = createHash("sha256");
  const piece = Buffer.allocUnsafe(pieceBytes);
  for (let position = 0; ; ) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(piece, 0, pieceBytes, position);
    if (bytesRead === 0) return hash.digest("hex");
    hash.update(piece.subarray(0, bytesRead));
    position += bytesRead;
    if (bytesRead === pieceBytes) await setTimeout(restMs, undefined, { signal, ref: false });
  }
}
