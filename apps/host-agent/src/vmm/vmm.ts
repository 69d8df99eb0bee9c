import type { CapsuleSize } from "@wrenn/contracts";
import type { NetworkSlot } from "../network/slot.ts";
import type { ProcessIdentity } from "../processes/identity.ts";

/** A virtual machine monitor: one interface, and one conformance suite that every driver passes. */
export interface Vmm {
  /** Driver and accelerator: `qemu-kvm`, `qemu-tcg`, `simulated`. */
  readonly name: string;
  /** Build of the monitor. A snapshot is restored by the build that made it. */
  readonly version: string;
  /** Whether a machine needs a network slot, or brings a network of its own: one without privileges, or this host's. */
  readonly network: "slot" | "passt" | "none";

  /** Makes an empty copy-on-write layer on top of another one. */
  makeLayer(below: DiskLayer, path: string, signal: AbortSignal): Promise<void>;
  /** Boots a kernel. The caller snapshots the machine and throws it away; nobody works in it. */
  boot(spec: BootSpec, signal: AbortSignal): Promise<Machine>;
  /**
   * Starts a machine from a snapshot with a disk of its own on top of the snapshot's. The snapshot may still be being
   * loaded: `started` tells when it has been.
   */
  restore(spec: RestoreSpec, signal: AbortSignal): Promise<Machine>;
  /** Takes over a machine that an earlier life of this agent started; undefined when it has ended meanwhile. */
  adopt(spec: AdoptSpec, signal: AbortSignal): Promise<Machine | undefined>;
}

/** What every machine is made with. */
export interface MachineSpec {
  /** Names the machine in errors. */
  readonly id: string;
  /** A directory of this machine alone, for its sockets and logs; it exists and is removed by the caller. */
  readonly runDir: string;
  /** Path at which the machine's own disk layer is made; removed by the caller. */
  readonly diskPath: string;
  readonly size: CapsuleSize;
  /** Present exactly when the driver's `network` is `slot`. */
  readonly slot: NetworkSlot | undefined;
}

export interface BootSpec extends MachineSpec {
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** Read-only ext4 image that the disk layer stands on. */
  readonly rootfsPath: string;
  /** Files that are made to hold the guest's memory and, once it is saved, its devices. */
  readonly memoryPath: string;
  readonly deviceStatePath: string;
  /** Hex digest of the token that the guest agent accepts until the machine is claimed. */
  readonly bootTokenSha256: string;
}

export interface RestoreSpec extends MachineSpec {
  readonly snapshot: MachineSnapshot;
}

/** What is known of a machine that runs already. */
export interface AdoptSpec {
  readonly process: ProcessIdentity;
  readonly guestUrl: string;
  readonly runDir: string;
}

/** A stopped machine on disk. Immutable, shared by every machine restored from it. */
export interface MachineSnapshot {
  readonly memoryPath: string;
  readonly deviceStatePath: string;
  /** An empty layer on top of the disk, copied for each machine: quicker than making one. */
  readonly emptyLayerPath: string;
  /** The disk, lowest layer first: the raw image, then the layers on top of it. */
  readonly diskLayers: readonly DiskLayer[];
}

export interface DiskLayer {
  readonly path: string;
  readonly format: "raw" | "qcow2";
}

/** How a machine ended. Of one that was adopted, neither code nor signal is known: only its parent learns them. */
export interface MachineExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** Last lines that the monitor wrote. */
  readonly lastWords: string;
}

/** A running machine: it outlives this agent. Disposing of it kills it and waits until it is gone. */
export interface Machine extends AsyncDisposable {
  /** Its VMM. */
  readonly process: ProcessIdentity;
  /** Base URL of the guest agent, as this host dials it. */
  readonly guestUrl: string;
  /** Whether the guest has a kernel of its own whose clock, host name and random pool may be set. */
  readonly ownsKernel: boolean;
  /** Resolves when the guest runs. Rejects when its snapshot cannot be loaded. */
  readonly started: Promise<void>;
  /** Resolves once, when the machine has ended for whatever reason. */
  readonly exited: Promise<MachineExit>;
  /** Stops a booted guest, completes the snapshot at the paths of its {@link BootSpec}, and ends the machine. */
  saveAndEnd(): Promise<void>;
  /** Last lines of the guest's console, for a machine that does not answer. */
  consoleTail(): Promise<string>;
  /** Lets go of a machine that has started, without ending it: it runs on, and can be adopted. */
  detach(): void;
}
