import { WrennError } from "@wrenn/contracts";
import type { Vmm } from "../vmm/vmm.ts";
import type { SnapshotManifest } from "./manifest.ts";

/** What a snapshot has to be made by to be restored here. */
export interface RestoringHost {
  readonly vmm: Pick<Vmm, "name" | "version" | "network">;
  /** As `processorOf` answers it. */
  readonly cpu: string | undefined;
}

/**
 * Refuses a memory that this host would not restore as what it is.
 *
 * @throws {WrennError} `snapshot_incompatible`, with the reason.
 */
export function checkCompatible(manifest: SnapshotManifest, { vmm, cpu }: RestoringHost): void {
  const { id, versions, network, memoryless } = manifest;
  const refuse = (reason: string) => {
    const sentence = `snapshot ${id} ${reason}; it can be started from its disk`;
    return new WrennError("snapshot_incompatible", sentence);
  };
  if (memoryless) throw refuse("has no memory");
  const made = `${versions.vmm} ${versions.vmmVersion}`;
  const here = `${vmm.name} ${vmm.version}`;
  if (made !== here) throw refuse(`was made by ${made}, and this host has ${here}`);
  if (network !== vmm.network) {
    throw refuse(`has a network of kind ${network}, and this host's is of kind ${vmm.network}`);
  }
  if (manifest.cpu !== cpu) {
    throw refuse(`was made on the processor ${manifest.cpu ?? "of an emulator"}, and this host has ${cpu}`);
  }
}
