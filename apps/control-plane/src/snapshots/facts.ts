import type { Snapshot } from "@wrenn/contracts/host";
import type { SnapshotFacts } from "./store.ts";

/** What only the host knows of a snapshot, as far as it says so. */
export function factsOf({ template, diskMib, sizeBytes }: Snapshot): SnapshotFacts {
  return {
    ...(template !== "" && { template }),
    ...(diskMib > 0 && { disk_mib: diskMib }),
    size_bytes: sizeBytes,
  };
}
