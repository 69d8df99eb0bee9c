import { randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { newId, WrennError } from "@wrenn/contracts";
import { checkDiskSpace } from "../disk-space.ts";
import { GuestAgent, type GuestIdentity } from "../guest/guest-agent.ts";
import { newIdentity } from "../guest/identity.ts";
import type { Layout } from "../layout.ts";
import type { SlotPool } from "../network/slot-pool.ts";
import type { BootSnapshot } from "../templates/boot-snapshots.ts";
import type { Machine, Vmm } from "../vmm/vmm.ts";
import type { CapsuleRequest, CapsuleResources } from "./capsule.ts";

/** Room for what a guest writes soon after it starts. */
const diskReserveMib = 64;

/** Longest wait for a restored guest to take its identity. */
const claimTimeoutMs = 30_000;

export interface StartOptions {
  readonly layout: Layout;
  readonly vmm: Vmm;
  readonly slots: SlotPool | undefined;
  readonly signal: AbortSignal;
}

/** Restores a machine and makes it a computer of its own. On failure nothing of it is left. */
export async function startCapsule(
  request: CapsuleRequest,
  snapshot: BootSnapshot,
  options: StartOptions,
): Promise<CapsuleResources> {
  const { layout, vmm, slots, signal } = options;
  await checkDiskSpace(layout.root, diskReserveMib);
  await using stack = new AsyncDisposableStack();
  const runDir = join(layout.machines, request.id);
  await mkdir(runDir, { mode: 0o700 });
  stack.defer(() => rm(runDir, { recursive: true, force: true }));
  const diskPath = join(layout.layers, `${newId("disk")}.qcow2`);
  stack.defer(() => rm(diskPath, { force: true }));
  const slot = await slots?.acquire(signal);
  if (slot) stack.defer(async () => await slots?.release(slot));

  const spec = { id: request.id, runDir, diskPath, size: request.size, slot, snapshot: snapshot.machine };
  const machine = stack.use(await vmm.restore(spec, signal));
  const guest = stack.use(new GuestAgent(machine.guestUrl, snapshot.bootToken));
  const accessToken = randomBytes(32).toString("hex");
  await claim(machine, guest, newIdentity(machine, request.id, accessToken), signal);
  return { machine, guest, stack: stack.move() };
}

async function claim(
  machine: Machine,
  guest: GuestAgent,
  identity: GuestIdentity,
  signal: AbortSignal,
): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(claimTimeoutMs)]);
  const gone = machine.exited.then(({ lastWords }) => {
    throw new WrennError(
      "agent_error",
      `the machine ended while it started: ${lastWords || "it said nothing"}`,
    );
  });
  await Promise.race([guest.claim(identity, deadline), gone]);
}
