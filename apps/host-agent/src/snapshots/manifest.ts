import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { writeFileAtomic } from "@wrenn/daemon";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { snapshotParts } from "./parts.ts";

/** Of a snapshot's directory. One of another version is kept and never started. */
export const snapshotFormatVersion = 1;

/**
 * What a snapshot is for. `pause`: one capsule goes on from it. `fork`: capsules were made of it, and nobody else makes
 * any. `template`: capsules are made of it by its name until it is deleted.
 */
export const snapshotKinds = ["pause", "fork", "template"] as const;

export type SnapshotKind = (typeof snapshotKinds)[number];

export const SnapshotManifest = Type.Object({
  formatVersion: Type.Literal(snapshotFormatVersion),
  id: Type.String(),
  kind: Type.Enum([...snapshotKinds]),
  /** RFC 3339. */
  createdAt: Type.String(),
  /** Id of the capsule that it was taken of. */
  capsule: Type.String(),
  template: Type.String(),
  versions: Type.Object({
    imageVersion: Type.String(),
    kernelVersion: Type.String(),
    envdVersion: Type.String(),
    vmm: Type.String(),
    vmmVersion: Type.String(),
  }),
  /** Kind of network that its devices are made for. */
  network: Type.String(),
  /** Of the host, where its guest saw that. */
  cpu: Type.Optional(Type.String()),
  vcpus: Type.Integer(),
  memoryMib: Type.Integer(),
  diskBytes: Type.Integer(),
  /** The newest restore that its memory knows of. */
  restoreEpoch: Type.Integer(),
  /** Size of its memory image. */
  memoryBytes: Type.Integer(),
  /** Snapshot whose memory its diff is of; absent when it has had a whole memory from birth. */
  base: Type.Optional(Type.String()),
  /** Lowest first; absolute paths. */
  diskLayers: Type.Array(Type.Object({ path: Type.String(), format: Type.Enum(["raw", "qcow2"]) }), {
    minItems: 1,
  }),
  /** Hex. */
  deviceStateSha256: Type.String(),
  /** It has a disk and nothing else, and can only be started from that. */
  memoryless: Type.Optional(Type.Boolean()),
});

/** What a snapshot says of itself in its `manifest.json`. Everything but its disk layers is as it was made. */
export type SnapshotManifest = Static<typeof SnapshotManifest>;

/** @throws {WrennError} `snapshot_corrupt` when it is missing, damaged, or of another version. */
export async function readSnapshotManifest(dir: string): Promise<SnapshotManifest> {
  const path = join(dir, snapshotParts.manifest);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) throw new WrennError("snapshot_corrupt", `${path} is missing`);
  return parseSnapshotManifest(text, path);
}

/** @param path names it in errors. @throws {WrennError} `snapshot_corrupt`. */
export function parseSnapshotManifest(text: string, path: string): SnapshotManifest {
  const value = parse(text);
  if (Value.Check(SnapshotManifest, value)) return value;
  throw new WrennError("snapshot_corrupt", `${path} is not a manifest of version ${snapshotFormatVersion}`);
}

/** Writes or replaces the manifest of a directory; a reader sees the old or the new one. */
export async function writeSnapshotManifest(dir: string, manifest: SnapshotManifest): Promise<void> {
  await writeFileAtomic(join(dir, snapshotParts.manifest), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
