import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { GuestAgent } from "../guest/guest-agent.ts";
import { runInGuest } from "../guest/run-in-guest.ts";
import { type Layout, layoutOf, makeDirectories } from "../layout.ts";
import { AgentMetrics } from "../metrics/metrics.ts";
import { HostRules } from "../network/host-rules.ts";
import { findNameserver } from "../network/nameserver.ts";
import { SlotPool } from "../network/slot-pool.ts";
import { SlotRegister } from "../network/slot-register.ts";
import { TemplateStore } from "../templates/template-store.ts";
import { openQemu } from "../vmm/conformance/bench.ts";
import type { Machine, Vmm } from "../vmm/vmm.ts";
import { openStores, type Stores } from "./open-stores.ts";
import type { RestoreSource } from "./restore-source.ts";

/** The stores with real machines: what is flattened, archived or booted was written by a guest's kernel. */
const { signal } = new AbortController();
const size = { vcpus: 1, memoryMib: 256 };
const holder = "capsule:one";
const limits = { soft: 4, hard: 6 };

const stack = new AsyncDisposableStack();
let layout: Layout;
let vmm: Vmm;
let slots: SlotPool;
let stores: Stores;
beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), "wrenn-stores-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await chmod(dir, 0o711);
  layout = layoutOf(dir);
  await makeDirectories(layout);
  for (const name of ["kernels", "images"]) await symlink(join(inject("imagesDir"), name), join(dir, name));
  vmm = await openQemu(stack, dir);
  const nameserver = await findNameserver();
  const rules = await HostRules.open("stores", nameserver, [], signal);
  const logger = makeLogger("stores", "error");
  slots = stack.use(SlotPool.open({ register: new SlotRegister(dir), rules, nameserver, logger }));
  const templates = new TemplateStore(layout.images);
  const made = { layout, vmm, slots, templates, logger, signal, limits, metrics: new AgentMetrics() };
  stores = await openStores(made, { layers: [], snapshots: [], keepAll: undefined }, stack);
});
afterAll(() => stack.disposeAsync());

interface Guest extends AsyncDisposable {
  readonly machine: Machine;
  sh(line: string): Promise<string>;
}

async function restore(source: RestoreSource): Promise<Guest> {
  await using undo = new AsyncDisposableStack();
  const id = newId("capsule");
  const runDir = join(layout.machines, id);
  await mkdir(runDir);
  undo.defer(() => rm(runDir, { recursive: true, force: true }));
  const slot = await slots.acquire(signal);
  undo.defer(() => slots.release(slot));
  const diskPath = stores.layers.newPath();
  undo.defer(() => stores.layers.release(diskPath, holder));
  stores.layers.hold(diskPath, holder);
  const tokenSha256 = createHash("sha256").update(source.token).digest("hex");
  const spec = { id, runDir, slot, diskPath, size, tokenSha256, snapshot: source.machine };
  const machine = undo.use(await vmm.restore(spec, signal));
  await machine.started;
  const agent = undo.use(new GuestAgent(machine.guestUrl, source.token));
  const owned = undo.move();
  return {
    machine,
    sh: (line) => runInGuest(agent, "/bin/sh", ["-ec", line], signal),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Pauses a guest that was restored from a source. @returns the id of the snapshot, which is held. */
async function pause(source: RestoreSource, guest: Guest): Promise<string> {
  const id = newId("snapshot");
  await using frozen = await guest.machine.freeze({}, signal);
  await using draft = await stores.snapshots.begin(id);
  const basePath = source.machine.memoryPath;
  const saved = await frozen.save({ dir: draft.dir, baseId: source.id, basePath }, signal);
  const { template, versions, diskBytes, restoreEpoch, token } = source;
  await draft.commit({
    ...{ kind: "pause", holder, capsule: "one", template, versions, size, diskBytes, restoreEpoch, token },
    ...{ source: source.id, ownLayers: frozen.ownLayers, ...saved },
  });
  await frozen.end();
  return id;
}

const digests =
  "sha256sum < /dev/shm/pattern; dd if=/root/pattern bs=64K iflag=direct status=none | sha256sum";

test("memory and disk are what they were after pauses, a flattening, the archive and a start from the disk", async () => {
  const { snapshots, archive, diskStarts } = stores;
  let source = await stores.boots.get("minimal", size);
  let kept = "";
  let id = "";
  for (let cycle = 0; cycle < 4; cycle += 1) {
    await using guest = await restore(source);
    if (kept) expect(await guest.sh(digests)).toBe(kept);
    const random = "head -c 256K /dev/urandom";
    const at = `seek=${cycle} iflag=fullblock conv=notrunc,fsync status=none`;
    await guest.sh(`${random} > /dev/shm/pattern; ${random} | dd of=/root/pattern bs=256K ${at}`);
    kept = await guest.sh(digests);
    const before = id;
    id = await pause(source, guest);
    snapshots.release(before, holder);
    source = await snapshots.source(id, signal);
  }
  expect(source.machine.diskLayers).toHaveLength(6);

  const copy = newId("snapshot");
  await snapshots.duplicate(id, copy, "pause", holder);
  snapshots.release(id, holder);
  await expect.poll(() => snapshots.manifest(copy).diskLayers.length, { timeout: 30_000 }).toBe(3);

  await archive.put(copy, signal);
  snapshots.release(copy, holder);
  await expect.poll(() => snapshots.has(copy)).toBe(false);
  await archive.fetch(copy, holder, signal);
  source = await snapshots.source(copy, signal);
  expect(source.machine.diskLayers).toHaveLength(2);
  {
    await using guest = await restore(source);
    expect(await guest.sh(digests)).toBe(kept);
  }

  const started = newId("snapshot");
  await diskStarts.start(copy, started, holder, signal);
  await using guest = await restore(await snapshots.source(started, signal));
  const [, disk] = kept.split("\n");
  expect(await guest.sh(`dd if=/root/pattern bs=64K iflag=direct status=none | sha256sum`)).toContain(disk);
  expect(await guest.sh("ls /dev/shm")).not.toContain("pattern");
});
