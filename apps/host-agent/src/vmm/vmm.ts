import type { CapsuleSize } from "@wrenn/contracts";
import type { NetworkSlot } from "../network/slot.ts";
import type { ProcessIdentity } from "../processes/identity.ts";
import type { FreezeOptions, Frozen } from "./frozen.ts";

/** A virtual machine monitor: one interface, and one conformance suite that every driver passes. */
export interface Vmm {
  /** Driver and accelerator: `qemu-kvm`, `qemu-tcg`, `simulated`. */
  readonly name: string;
  /** Build of the monitor. A snapshot is restored by the build that made it. */
  readonly version: string;
  /** Whether a machine needs a network slot, or brings a network of its own: one without privileges, or this host's. */
  readonly network: "slot" | "passt" | "none";

  /**
   * Copies what the upper layers of a disk hold into one new layer on top of the others, so that chains stay short. The
   * layers are only read.
   */
  flatten(spec: FlattenSpec, signal: AbortSignal): Promise<void>;
  /** Boots a kernel on a disk of its own. The caller snapshots the machine and throws it away; nobody works in it. */
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
  /** Largest size that the disk is ever grown to, in bytes; absent when it keeps the size that it has. */
  readonly maxDiskBytes?: number | undefined;
  /** Present exactly when the driver's `network` is `slot`. */
  readonly slot: NetworkSlot | undefined;
}

export interface BootSpec extends MachineSpec {
  readonly kernelPath: string;
  readonly initramfsPath: string;
  /** The disk to boot from, lowest layer first: a raw ext4 image, and what a capsule has written above it, if one did. */
  readonly diskLayers: readonly DiskLayer[];
  /** Files that are made to hold the guest's memory and, once it is saved, its devices. */
  readonly memoryPath: string;
  readonly deviceStatePath: string;
  /** Hex digest of the token that the guest agent accepts until the machine is claimed. */
  readonly bootTokenSha256: string;
}

export interface RestoreSpec extends MachineSpec {
  readonly snapshot: MachineSnapshot;
  /** Hex digest of the token that opens the guest in the snapshot: a driver whose guests have no memory is told. */
  readonly tokenSha256: string;
}

/** What is known of a machine that runs already. */
export interface AdoptSpec {
  readonly process: ProcessIdentity;
  readonly guestUrl: string;
  readonly runDir: string;
  /** Paths of its own layers: the one that it was started with, then those that freezes were given. */
  readonly ownLayers: readonly string[];
  readonly slot: NetworkSlot | undefined;
}

/** A stopped machine on disk. Immutable, shared by every machine restored from it. */
export interface MachineSnapshot {
  /** The whole memory; of a freeze, what `mergeMemory` made. */
  readonly memoryPath: string;
  readonly deviceStatePath: string;
  /** Of a freeze, as its save answered it. */
  readonly deviceStateSha256?: string | undefined;
  /** The disk, lowest layer first: the raw image, then the layers on top of it. */
  readonly diskLayers: readonly DiskLayer[];
}

export interface DiskLayer {
  readonly path: string;
  readonly format: "raw" | "qcow2";
}

export interface FlattenSpec {
  /** Names the work in errors. */
  readonly id: string;
  /** A directory of this work alone; it exists and is removed by the caller. */
  readonly runDir: string;
  /** Lowest first. */
  readonly layers: readonly DiskLayer[];
  /** How many of them, from the bottom, stay as they are. */
  readonly kept: number;
  /** The new layer is made here. What is there when this fails is of no use. */
  readonly path: string;
}

/** How a machine ended. Of one that was adopted, neither code nor signal is known: only its parent learns them. */
export interface MachineExit {
  readonly code: number | null;
  readonly signal: string | null;
  /** Last lines that the monitor wrote. */
  readonly lastWords: string;
}

/** The host's disk has no room for what the guest writes: it is stopped, and has not noticed. */
export type Halt = "host_disk_full";

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
  /**
   * Paths of its own layers, which stand on those of its snapshot: the one that it was started with, then one for each
   * live freeze. It writes the last.
   */
  readonly ownLayers: readonly string[];
  /** Why the VMM has stopped the guest by itself; undefined while it runs. */
  readonly halt: Halt | undefined;
  /** Calls the listener whenever the VMM stops the guest by itself, until what it returns is disposed of. */
  onHalt(listener: (halt: Halt) => void): Disposable;
  /** Lets a guest that was halted go on. When the cause is still there, it halts again. */
  goOn(): Promise<void>;
  /** Bytes of memory that the guest has changed since it was restored: what a freeze has to save, as of now. */
  dirtyBytes(): Promise<number>;
  /**
   * Stops the guest and takes hold of its devices, its memory and its disk in one moment. A freeze that fails leaves
   * the guest running; {@link ownLayers} says whether its next layer is in use all the same.
   *
   * @throws {WrennError} `host_memory_full` when there is more to copy than may be; `host_disk_full` when it is halted.
   */
  freeze(options: FreezeOptions, signal: AbortSignal): Promise<Frozen>;
  /**
   * Copies what its other own layers hold into the one that it writes, while it runs; then that is the only one of its
   * own. The others stay for whoever stands on them. Not while it is being frozen. Work that is aborted changes nothing.
   */
  shortenDisk(signal: AbortSignal): Promise<void>;
  /** Grows the disk, up to its {@link MachineSpec.maxDiskBytes}. The guest's kernel notices; its file system does not. */
  resizeDisk(bytes: number): Promise<void>;
  /** Stops a booted guest, completes the snapshot at the paths of its {@link BootSpec}, and ends the machine. */
  saveAndEnd(): Promise<void>;
  /** Last lines of the guest's console, for a machine that does not answer. */
  consoleTail(): Promise<string>;
  /** Lets go of a machine that has started, without ending it: it runs on, and can be adopted. */
  detach(): void;
}
