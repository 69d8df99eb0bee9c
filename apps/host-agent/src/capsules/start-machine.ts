import { createHash, randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { GuestAgent, type GuestIdentity } from "../guest/guest-agent.ts";
import { newIdentity, sameIdentity } from "../guest/identity.ts";
import { whenRunning } from "../guest/when-running.ts";
import type { NetworkSlot } from "../network/slot.ts";
import type { SlotPool } from "../network/slot-pool.ts";
import type { KnownIdentity, PooledMachine } from "../pool/pooled-machine.ts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { Machine, RestoreSpec } from "../vmm/vmm.ts";
import type { Capsule } from "./capsule.ts";
import { growDisk } from "./disk-size.ts";
import { machineHolder } from "./held.ts";
import type { HostParts } from "./host-parts.ts";
import { release, runDirOf, runHoldings } from "./release.ts";

/** Longest wait for a restored guest to take its identity. */
const claimTimeoutMs = 30_000;

/** A clone becomes a computer of its own; a resumed one goes on as the computer that it was. */
export type Restoring = "clone" | "resume";

/**
 * Restores a machine for a capsule, and tells it who it is. On failure nothing of it is left.
 *
 * @param diskBytes size that its disk is to be grown to; absent when it keeps the one that it has.
 * @returns what ends it again, until it is moved.
 * @throws {WrennError} `host_full` when the host has no room for it.
 */
export async function startMachine(
  capsule: Capsule,
  source: RestoreSource,
  restoring: Restoring,
  parts: HostParts,
  diskBytes?: number,
): Promise<AsyncDisposableStack> {
  // Nothing is restored ahead meanwhile.
  using _ = parts.pool.creating();
  if (restoring === "clone" && diskBytes === undefined) {
    const waiting = await startWaiting(capsule, source, parts);
    if (waiting) return waiting;
  }
  if (!capsule.hasRoom) for (const room of await parts.admission.admit([source.size])) capsule.takeRoom(room);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => release(capsule, runHoldings, parts));
  const machine = await restore(capsule, source, parts, diskBytes);
  const guest = await introduce(capsule, source, machine, restoring, parts);
  if (diskBytes !== undefined) {
    capsule.note({ step: "disk_size", bytes: diskBytes });
    await growDisk(machine, guest, diskBytes, parts.signal);
  }
  return undo.move();
}

/** Takes over a machine that waits, if one does. One that turns out not to work is let go of. */
async function startWaiting(
  capsule: Capsule,
  source: RestoreSource,
  parts: HostParts,
): Promise<AsyncDisposableStack | undefined> {
  const pooled = parts.pool.claim(source);
  if (!pooled) return undefined;
  try {
    await using undo = new AsyncDisposableStack();
    const machine = await takeOver(capsule, source, pooled, undo, parts);
    await introduce(capsule, pooled.resources.known, machine, "clone", parts);
    return undo.move();
  } catch (err) {
    parts.signal.throwIfAborted();
    parts.logger.warn({ err }, "a machine of the pool does not work; another is restored");
    return undefined;
  }
}

/** @param undo lets go of the machine, whoever's it is by then. */
async function takeOver(
  capsule: Capsule,
  source: RestoreSource,
  pooled: PooledMachine,
  undo: AsyncDisposableStack,
  parts: HostParts,
): Promise<Machine> {
  const waiting = undo.use(pooled);
  const { id } = capsule;
  const { runDir, diskPath, slot, machine, reservation } = waiting.resources;
  const { process, guestUrl } = machine;
  const slotIndex = slot && { slotIndex: slot.index };
  const from = { source: source.id, diskBytes: source.diskBytes };
  capsule.note({ step: "take_over", ...from, runDir, diskPath, ...slotIndex, process, guestUrl });
  capsule.takeRoom(reservation);
  parts.snapshots.hold(source.id, machineHolder(id));
  parts.layers.hold(diskPath, machineHolder(id));
  undo.defer(() => release(capsule, runHoldings, parts));
  await waiting.giveAway();
  return machine;
}

/**
 * Tells the machine who it is. From then on it is the capsule's that answers.
 *
 * @param known what its guest knows already.
 */
async function introduce(
  capsule: Capsule,
  known: KnownIdentity,
  machine: Machine,
  restoring: Restoring,
  parts: HostParts,
): Promise<GuestAgent> {
  const guest = new GuestAgent(machine.guestUrl, known.token);
  capsule.attach({ machine, guest });
  await claim(machine, guest, identityOf(capsule, known, machine, restoring), parts);
  return guest;
}

async function restore(
  capsule: Capsule,
  source: RestoreSource,
  parts: HostParts,
  diskBytes: number | undefined,
): Promise<Machine> {
  const spec = { ...(await prepare(capsule, source, parts)), maxDiskBytes: diskBytes };
  parts.signal.throwIfAborted();
  capsule.note({ step: "machine" });
  // A machine that does not start is ended by its driver.
  const machine = await parts.vmm.restore(spec, parts.signal);
  const { process, guestUrl } = machine;
  capsule.note({ step: "started", process, guestUrl });
  return machine;
}

/** Everything that a machine needs before it is started. */
async function prepare(capsule: Capsule, source: RestoreSource, parts: HostParts): Promise<RestoreSpec> {
  const { layers, slots, snapshots, signal } = parts;
  const { id } = capsule;
  capsule.note({ step: "source", id: source.id, diskBytes: source.diskBytes });
  snapshots.hold(source.id, machineHolder(id));
  capsule.note({ step: "run_dir" });
  const runDir = runDirOf(capsule.record, parts);
  await mkdir(runDir, { mode: 0o700 });
  const diskPath = layers.newPath();
  capsule.note({ step: "disk", path: diskPath });
  layers.hold(diskPath, machineHolder(id));
  const slot = slots && (await takeSlot(capsule, slots, signal));
  const tokenSha256 = createHash("sha256").update(source.token).digest("hex");
  return { id, runDir, diskPath, size: source.size, slot, tokenSha256, snapshot: source.machine };
}

async function takeSlot(capsule: Capsule, slots: SlotPool, signal: AbortSignal): Promise<NetworkSlot> {
  await using undo = new AsyncDisposableStack();
  const slot = await slots.acquire(signal);
  undo.defer(() => slots.release(slot));
  capsule.note({ step: "slot", index: slot.index });
  undo.move();
  return slot;
}

/** Noted before the guest learns of it. */
function identityOf(
  capsule: Capsule,
  known: KnownIdentity,
  machine: Machine,
  restoring: Restoring,
): GuestIdentity {
  const restoreEpoch = known.restoreEpoch + 1;
  const accessToken = restoring === "resume" ? known.token : randomBytes(32).toString("hex");
  capsule.note({ step: "claim", accessToken, restoreEpoch });
  if (restoring === "resume") return sameIdentity(machine, restoreEpoch, accessToken);
  return newIdentity(machine, { kind: "clone", restoreEpoch, hostname: capsule.id, accessToken });
}

async function claim(
  machine: Machine,
  guest: GuestAgent,
  identity: GuestIdentity,
  { vmm, signal }: HostParts,
): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(claimTimeoutMs)]);
  const call = () => guest.claim(identity, deadline);
  await whenRunning(machine, { guest, network: vmm.network, timeoutMs: claimTimeoutMs, call }, signal);
}
