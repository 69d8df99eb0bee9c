import { WrennError } from "@wrenn/contracts";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { SnapshotManifest } from "./manifest.ts";

/** Of a snapshot in an archive. */
export const archiveFormatVersion = 1;

/** What is in an archive for a snapshot, beside its manifest. */
export const archivedParts = ["device-state", "memory", "disk", "token"] as const;

export type ArchivedPart = (typeof archivedParts)[number];

/** A part as it is in the archive: compressed with zstd. */
const Part = Type.Object({ sha256: Type.String(), bytes: Type.Integer() });

const ArchivedManifest = Type.Object({
  formatVersion: Type.Literal(archiveFormatVersion),
  /** With one layer on the raw image: the disk. */
  snapshot: SnapshotManifest,
  parts: Type.Record(Type.Enum([...archivedParts]), Part),
});

/** What an archived snapshot says of itself. It is put last: where it is, all of the snapshot is. */
export type ArchivedManifest = Static<typeof ArchivedManifest>;

/** @param key names it in errors. @throws {WrennError} `snapshot_corrupt`. */
export function parseArchivedManifest(text: string, key: string): ArchivedManifest {
  const value = parse(text);
  if (Value.Check(ArchivedManifest, value)) return value;
  const sentence = `${key} of the archive is not a manifest of version ${archiveFormatVersion}`;
  throw new WrennError("snapshot_corrupt", sentence);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
