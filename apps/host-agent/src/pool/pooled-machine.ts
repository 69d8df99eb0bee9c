import { createHash, randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import type { Reservation } from "../admission/admission.ts";
import { GuestAgent } from "../guest/guest-agent.ts";
import { newIdentity } from "../guest/identity.ts";
import { runInGuest } from "../guest/run-in-guest.ts";
import { whenRunning } from "../guest/when-running.ts";
import type { LayerStore } from "../layers/layer-store.ts";
import type { Layout } from "../layout.ts";
import { endPasst } from "../network/passt.ts";
import type { NetworkSlot } from "../network/slot.ts";
import type { SlotPool } from "../network/slot-pool.ts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { SnapshotStore } from "../snapshots/snapshot-store.ts";
import type { Machine, MachineExit, RestoreSpec, Vmm } from "../vmm/vmm.ts";
import type { Waiting } from "./machine-pool.ts";

/** Longest wait for a restored guest to run its first program. */
const exerciseTimeoutMs = 60_000;

export interface PooledMachineParts {
  readonly layout: Layout;
  readonly vmm: Vmm;
  /** Absent when the driver brings a network of its own. */
  readonly slots: SlotPool | undefined;
  readonly layers: LayerStore;
  readonly snapshots: SnapshotStore;
}

/** What the guest of a machine knows: the token that opens it, and the newest of its restores. */
export type KnownIdentity = Pick<RestoreSource, "token" | "restoreEpoch">;

/** What a capsule takes over with a machine. */
export interface PooledResources {
  /** Name of its run directory below `machines/`. */
  readonly runDir: string;
  readonly diskPath: string;
  readonly slot: NetworkSlot | undefined;
  readonly machine: Machine;
  readonly reservation: Reservation;
  readonly known: KnownIdentity;
}

/**
 * A machine that was restored and exercised for nobody in particular. No journal names it: one that is left by an agent
 * that was killed is an orphan, and is removed as such, until a capsule's journal takes it over in one line.
 */
export class PooledMachine implements Waiting {
  /** What the capsule that claims it takes over, holders of layer and snapshot excepted. */
  readonly resources: PooledResources;
  readonly exited: Promise<MachineExit>;
  readonly #holds: AsyncDisposableStack;
  readonly #owned: AsyncDisposableStack;

  private constructor(resources: PooledResources, holds: AsyncDisposableStack, owned: AsyncDisposableStack) {
    this.resources = resources;
    this.exited = resources.machine.exited;
    this.#holds = holds;
    this.#owned = owned;
  }

  /** @param reservation room for it, which is given back with it, or when it cannot be made. */
  static async make(
    source: RestoreSource,
    reservation: Reservation,
    parts: PooledMachineParts,
    signal: AbortSignal,
  ): Promise<PooledMachine> {
    // What it stands on is let go of last.
    await using holds = new AsyncDisposableStack();
    await using owned = new AsyncDisposableStack();
    owned.defer(async () => reservation[Symbol.dispose]());
    const { spec, runDir } = await prepare(source, parts, owned, holds, signal);
    const machine = owned.use(await parts.vmm.restore(spec, signal));
    const known = { token: randomBytes(32).toString("hex"), restoreEpoch: source.restoreEpoch + 1 };
    await exercise(machine, source, known, parts, signal);
    const resources = { runDir, diskPath: spec.diskPath, slot: spec.slot, machine, reservation, known };
    return new PooledMachine(resources, holds.move(), owned.move());
  }

  /** Lets go of it without ending it, when its new owner has noted that, and holds what it stands on. */
  async giveAway(): Promise<void> {
    this.#owned.move();
    await this.#holds.disposeAsync();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
    await this.#holds.disposeAsync();
  }
}

/** @param holds keeps what the machine stands on. */
async function prepare(
  source: RestoreSource,
  { layout, slots, layers, snapshots }: PooledMachineParts,
  owned: AsyncDisposableStack,
  holds: AsyncDisposableStack,
  signal: AbortSignal,
): Promise<{ spec: RestoreSpec; runDir: string }> {
  const name = newId("disk");
  const holder = `pool:${name}`;
  snapshots.hold(source.id, holder);
  holds.defer(() => snapshots.release(source.id, holder));
  const diskPath = layers.newPath();
  layers.hold(diskPath, holder);
  holds.defer(() => layers.release(diskPath, holder));
  const slot = await slots?.acquire(signal);
  if (slot) owned.defer(async () => await slots?.release(slot));
  const runDir = join(layout.machines, name);
  await mkdir(runDir, { mode: 0o700 });
  owned.defer(() => rm(runDir, { recursive: true, force: true }));
  owned.defer(() => endPasst(runDir));
  const tokenSha256 = createHash("sha256").update(source.token).digest("hex");
  const spec = { id: name, runDir, diskPath, size: source.size, slot, tokenSha256, snapshot: source.machine };
  return { spec, runDir: name };
}

/** Does in the guest what a create will do and the first command in it, so that those find in memory what they need. */
async function exercise(
  machine: Machine,
  source: RestoreSource,
  { token: accessToken, restoreEpoch }: KnownIdentity,
  { vmm }: PooledMachineParts,
  signal: AbortSignal,
): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(exerciseTimeoutMs)]);
  // Its connection ends when the machine is claimed.
  await using guest = new GuestAgent(machine.guestUrl, source.token);
  const call = async () => {
    const identity = { kind: "clone", restoreEpoch, hostname: "capsule", accessToken } as const;
    await guest.claim(newIdentity(machine, identity), deadline);
    await runInGuest(guest, "true", [], deadline);
  };
  const { network } = vmm;
  await whenRunning(machine, { guest, network, timeoutMs: exerciseTimeoutMs, call }, deadline);
}
