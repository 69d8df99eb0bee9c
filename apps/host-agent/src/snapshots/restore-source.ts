import type { CapsuleSize } from "@wrenn/contracts";
import type { CapsuleVersions } from "../journal/entry.ts";
import type { MachineSnapshot } from "../vmm/vmm.ts";

/** What a machine is restored from: a booted template, or a capsule at one moment. */
export interface RestoreSource {
  /** Name of its directory below `snapshots/`, and of its memory as the base of a diff. */
  readonly id: string;
  readonly template: string;
  readonly size: CapsuleSize;
  readonly diskBytes: number;
  readonly versions: CapsuleVersions;
  readonly machine: MachineSnapshot;
  /** Opens its guest agent until that is told another. */
  readonly token: string;
  /** The newest restore that its memory knows of; the next one needs a larger number. */
  readonly restoreEpoch: number;
}
