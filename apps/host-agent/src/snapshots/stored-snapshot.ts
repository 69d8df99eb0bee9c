import { readdir, readFile, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { isTemporary, type Logger } from "@wrenn/daemon";
import { exists } from "../disk-files.ts";
import { readSnapshotManifest, type SnapshotManifest } from "./manifest.ts";
import { snapshotParts } from "./parts.ts";

/** A snapshot on the disk. */
export interface StoredSnapshot {
  readonly id: string;
  readonly dir: string;
  /** Absent when it cannot be read: then nobody knows what it needs, and {@link problem} says why. */
  readonly manifest?: SnapshotManifest | undefined;
  readonly problem?: WrennError | undefined;
  /** Why its memory must not be restored, although it can be read. */
  readonly condemned?: WrennError | undefined;
  /** Of a template. */
  readonly isDeleted: boolean;
}

/** Reads what is in a snapshot's directory, and removes what was being replaced there. */
export async function readStored(dir: string, logger: Logger): Promise<StoredSnapshot> {
  const id = basename(dir);
  for (const name of await readdir(dir)) if (isTemporary(name)) await rm(join(dir, name));
  const isDeleted = await exists(join(dir, snapshotParts.deleted));
  try {
    return {
      id,
      dir,
      manifest: await readSnapshotManifest(dir),
      condemned: await condemnedIn(dir),
      isDeleted,
    };
  } catch (error) {
    if (!(error instanceof WrennError)) throw error;
    logger.error({ err: error, snapshot: id }, "a snapshot cannot be read; all that it may need is kept");
    return { id, dir, problem: error, isDeleted };
  }
}

async function condemnedIn(dir: string): Promise<WrennError | undefined> {
  const sentence = await readFile(join(dir, snapshotParts.condemned), "utf8").catch(() => undefined);
  return sentence === undefined ? undefined : new WrennError("snapshot_corrupt", sentence);
}
