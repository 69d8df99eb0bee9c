/** Names of what a snapshot's directory holds, beside what a save of a machine makes there. */
export const snapshotParts = {
  manifest: "manifest.json",
  /** What opens the guest agent in the memory; 0600. */
  token: "token",
  /** Hex SHA-256 of the memory, once that has been taken. */
  memoryDigest: "memory-sha256",
  /** There when the memory is known to be damaged; says how. */
  condemned: "condemned",
  /** There when a template has been deleted and something still stands on it. */
  deleted: "deleted",
} as const;

/** In the name of a directory that is no snapshot yet. */
export const partialMark = ".partial-";

/** Before the name of a directory that is no snapshot any more. */
export const removedMark = ".deleted-";
