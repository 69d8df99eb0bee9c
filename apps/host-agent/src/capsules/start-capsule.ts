import { createHash, randomBytes } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { checkDiskSpace } from "../disk-space.ts";
import { GuestAgent, type GuestIdentity } from "../guest/guest-agent.ts";
import { newIdentity } from "../guest/identity.ts";
import { waitForGuest } from "../guest/wait-for-guest.ts";
import type { NetworkSlot } from "../network/slot.ts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { Machine, RestoreSpec } from "../vmm/vmm.ts";
import type { CapsuleRequest, CapsuleResources } from "./capsule.ts";
import { holderOf } from "./held.ts";
import { Holdings } from "./holdings.ts";
import type { HostParts } from "./host-parts.ts";

/** Room for what a guest writes soon after it starts. */
const diskReserveMib = 64;

/** Longest wait for a restored guest to take its identity. */
const claimTimeoutMs = 30_000;

/** Restores a machine and makes it a computer of its own. On failure nothing of it is left. */
export async function startCapsule(
  request: CapsuleRequest,
  source: RestoreSource,
  parts: HostParts,
): Promise<Required<CapsuleResources>> {
  await checkDiskSpace(parts.layout.root, diskReserveMib);
  await using undo = new AsyncDisposableStack();
  const holdings = undo.use(new Holdings(request.id, parts.journal));
  const spec = await prepare(request, source, holdings, parts);
  const machine = await startMachine(spec, holdings, parts);
  const guest = holdings.use(new GuestAgent(machine.guestUrl, source.token));
  const accessToken = randomBytes(32).toString("hex");
  parts.journal.write(request.id, { step: "claim", accessToken });
  await claim(machine, guest, newIdentity(machine, "clone", request.id, accessToken), parts);
  undo.move();
  return { holdings, running: { machine, guest } };
}

/** Everything that a machine needs before it is started. */
async function prepare(
  { id, size }: CapsuleRequest,
  source: RestoreSource,
  holdings: Holdings,
  { layout, layers, slots, signal }: HostParts,
): Promise<RestoreSpec> {
  const runDir = join(layout.machines, id);
  holdings.hold({ step: "run_dir" }, "run_dir", () => rm(runDir, { recursive: true, force: true }));
  await mkdir(runDir, { mode: 0o700 });
  const diskPath = layers.newPath();
  layers.hold(diskPath, holderOf(id));
  holdings.hold({ step: "disk", path: diskPath }, "disk", () => layers.release(diskPath, holderOf(id)));
  let slot: NetworkSlot | undefined;
  if (slots) {
    const taken = await slots.acquire(signal);
    holdings.hold({ step: "slot", index: taken.index }, "slot", () => slots.release(taken));
    slot = taken;
  }
  const tokenSha256 = createHash("sha256").update(source.token).digest("hex");
  return { id, runDir, diskPath, size, slot, tokenSha256, snapshot: source.machine };
}

async function startMachine(spec: RestoreSpec, holdings: Holdings, parts: HostParts): Promise<Machine> {
  let machine: Machine | undefined;
  // A machine that does not start is ended by its driver.
  holdings.hold({ step: "machine" }, "machine", async () => await machine?.[Symbol.asyncDispose]());
  machine = await parts.vmm.restore(spec, parts.signal);
  const { process, guestUrl } = machine;
  parts.journal.write(spec.id, { step: "started", process, guestUrl });
  return machine;
}

async function claim(
  machine: Machine,
  guest: GuestAgent,
  identity: GuestIdentity,
  { vmm, signal }: HostParts,
): Promise<void> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(claimTimeoutMs)]);
  const gone = machine.exited.then(({ lastWords }) => {
    throw new WrennError(
      "agent_error",
      `the machine ended while it started: ${lastWords || "it said nothing"}`,
    );
  });
  // Not before the guest runs: QEMU may drop a packet that comes while it loads, and TCP tries again a second later.
  const claimed = machine.started.then(async () => {
    // Passt tries once to reach a guest that it has not heard of yet, so the first to call it must be content with that.
    if (vmm.network === "passt") await waitForGuest(guest, machine, claimTimeoutMs, signal);
    await guest.claim(identity, deadline);
  });
  await Promise.race([claimed, gone]);
}
