import { readdir, readFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { abortable } from "../abortable.ts";
import { boot, type Committed, holder, SnapshotBench } from "../testing/snapshot-bench.ts";
import { SimulatedDriver } from "../vmm/simulated/simulated-driver.ts";
import type { FlattenSpec, Vmm } from "../vmm/vmm.ts";

const { signal } = new AbortController();
const limits = { soft: 5, hard: 8 };

/** Flattens when it is let, or not at all. */
class HeldUp extends SimulatedDriver {
  readonly begun = Promise.withResolvers<void>();
  readonly let = Promise.withResolvers<void>();

  override async flatten(spec: FlattenSpec, given?: AbortSignal): Promise<void> {
    await super.flatten(spec);
    this.begun.resolve();
    await abortable(this.let.promise, given ?? signal);
  }
}

let stack: AsyncDisposableStack;
let bench: SnapshotBench;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  bench = await SnapshotBench.make(stack);
});
afterEach(() => stack.disposeAsync());

async function open(
  vmm: Vmm = new SimulatedDriver("/absent"),
  snapshots: readonly string[] = [],
): Promise<void> {
  await bench.open({ limits, vmm, snapshots: snapshots.map((id) => ({ id, holder })) });
}

/** A chain as a capsule makes it that is paused and resumed: each snapshot stands on the one before, which goes then. */
async function chain(pauses: number): Promise<Committed> {
  let last = await bench.commit(boot);
  for (let i = 1; i < pauses; i += 1) {
    const next = await bench.commit(last.id);
    bench.store.release(last.id, holder);
    last = next;
  }
  return last;
}

test("a long chain becomes one layer on the template's, with the same content, and the old layers go", async () => {
  await open();
  const { id, ownLayers } = await chain(4);
  const content = await readFile(ownLayers[0] ?? "");
  await expect.poll(() => bench.ownLayers(id).length).toBe(1);
  expect(await readFile(bench.ownLayers(id)[0] ?? "")).toEqual(content);
  await expect.poll(() => bench.layerPaths()).toEqual(bench.ownLayers(id));
  expect(await readdir(bench.layout.machines)).toEqual([]);
  const flattened = bench.ownLayers(id);
  await open(undefined, [id]);
  expect(bench.ownLayers(id)).toEqual(flattened);
  expect((await bench.store.source(id, signal)).machine.diskLayers).toHaveLength(3);
});

test("a chain of the allowed length is left alone", async () => {
  await open();
  const { id } = await chain(3);
  await open(undefined, [id]);
  expect(bench.ownLayers(id)).toHaveLength(3);
});

test("whoever resumes does not wait for it: it is ended, and the chain is as it was", async () => {
  const vmm = new HeldUp("/absent");
  await open(vmm);
  const { id } = await chain(4);
  await vmm.begun.promise;
  const { machine } = await bench.store.source(id, signal);
  expect(machine.diskLayers).toHaveLength(6);
  for (const { path } of machine.diskLayers) await readFile(path);
  await expect.poll(async () => (await bench.layerPaths()).sort()).toEqual(bench.ownLayers(id).sort());
});

test("a chain that is too long is flattened first, however many want it", async () => {
  await bench.open({ limits: { soft: 50, hard: 50 } });
  const { id } = await chain(7);
  await open(new HeldUp("/absent"), [id]);
  const vmm = new HeldUp("/absent");
  vmm.let.resolve();
  await open(vmm, [id]);
  const sources = await Promise.all([1, 2, 3].map(() => bench.store.source(id, signal)));
  for (const { machine } of sources) {
    expect(machine.diskLayers).toHaveLength(3);
    for (const { path } of machine.diskLayers) await readFile(path);
  }
});

test("what another snapshot stands on stays, and is not copied", async () => {
  await open();
  const shared = await bench.commit(boot, { kind: "template", holder: undefined });
  let last = shared.id;
  for (let i = 0; i < 3; i += 1) last = (await bench.commit(last)).id;
  await expect.poll(() => bench.ownLayers(last).length).toBeLessThanOrEqual(2);
  expect(bench.ownLayers(shared.id)).toEqual(shared.ownLayers);
  await readFile(shared.ownLayers[0] ?? "");
});

test("an agent that ends before the chain is replaced leaves it as it was, and the next one does it again", async () => {
  const vmm = new HeldUp("/absent");
  await open(vmm);
  const { id } = await chain(4);
  await vmm.begun.promise;
  const before = bench.ownLayers(id);
  await bench.close();
  await bench.makeLayer();
  await open(new HeldUp("/absent"), [id]);
  expect(bench.ownLayers(id)).toEqual(before);
  await open(undefined, [id]);
  await expect.poll(() => bench.ownLayers(id)).toHaveLength(1);
  await expect.poll(() => bench.layerPaths()).toEqual(bench.ownLayers(id));
});

test("a snapshot that goes meanwhile leaves nothing", async () => {
  const vmm = new HeldUp("/absent");
  await open(vmm);
  const { id } = await chain(4);
  await vmm.begun.promise;
  bench.store.release(id, holder);
  await bench.close();
  expect(await bench.snapshots()).toEqual([]);
  expect(await bench.layerPaths()).toEqual([]);
  expect(await readdir(bench.layout.machines)).toEqual([]);
});
