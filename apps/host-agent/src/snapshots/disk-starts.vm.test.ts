import { readFile, rm, symlink, truncate } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { boot, holder, SnapshotBench } from "../testing/snapshot-bench.ts";
import { SimulatedDriver } from "../vmm/simulated/simulated-driver.ts";
import { DiskStarts } from "./disk-starts.ts";

const { signal } = new AbortController();

let stack: AsyncDisposableStack;
let bench: SnapshotBench;
let starts: DiskStarts;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  bench = await SnapshotBench.make(stack);
  const { layout } = bench;
  await symlink(join(inject("imagesDir"), "kernels"), layout.kernels);
  const vmm = new SimulatedDriver(inject("envdBinary"));
  const snapshots = await bench.open({ vmm });
  starts = new DiskStarts({ layout, vmm, slots: undefined, snapshots, layers: bench.layers });
});
afterEach(() => stack.disposeAsync());

async function content(id: string): Promise<Buffer> {
  const { machine } = await bench.store.source(id, signal);
  return await readFile(machine.diskLayers.at(-1)?.path ?? "");
}

test("a snapshot whose memory is damaged is started from its disk", async () => {
  const { id } = await bench.commit(boot);
  await bench.memory(id);
  await truncate(bench.path(id, "memory"), 1);
  await expect(bench.store.source(id, signal)).rejects.toMatchObject({ code: "snapshot_corrupt" });
  const started = newId("snapshot");
  await starts.start(id, started, holder, signal);
  bench.store.release(id, holder);
  const source = await bench.store.source(started, signal);
  expect(source).toMatchObject({ restoreEpoch: 1, diskBytes: 2 ** 20, template: "minimal" });
  expect(source.token).not.toBe("secret");
  await expect.poll(() => bench.snapshots()).toEqual([started]);
  expect((await bench.layerPaths()).sort()).toEqual(bench.ownLayers(started).sort());
});

test("the disk of a machine that ended is kept, cannot be restored from, and is started", async () => {
  const layer = await bench.makeLayer();
  const kept = newId("snapshot");
  const { versions } = await bench.store.source(boot, signal);
  await starts.keep(kept, {
    ...{ holder, capsule: "one", template: "minimal", versions, diskBytes: 2 ** 20, restoreEpoch: 2 },
    ...{ size: { vcpus: 1, memoryMib: 256 }, source: boot, ownLayers: [layer] },
  });
  const refused = { code: "snapshot_incompatible", message: expect.stringContaining("no memory") };
  await expect(bench.store.source(kept, signal)).rejects.toMatchObject(refused);
  const disk = await readFile(layer);
  const started = newId("snapshot");
  await starts.start(kept, started, holder, signal);
  expect(await content(started)).toEqual(disk);
});

test("a disk with a missing layer is not started, and nothing is left", async () => {
  const { id, ownLayers } = await bench.commit(boot);
  await rm(ownLayers[0] ?? "");
  const started = newId("snapshot");
  const refused = { code: "snapshot_corrupt", message: expect.stringContaining(ownLayers[0] ?? "") };
  await expect(starts.start(id, started, holder, signal)).rejects.toMatchObject(refused);
  const given = AbortSignal.abort(new Error("given up"));
  const other = await bench.commit(boot);
  await expect(starts.start(other.id, started, holder, given)).rejects.toThrow();
  expect(bench.store.has(started)).toBe(false);
  expect((await bench.snapshots()).sort()).toEqual([id, other.id].sort());
  expect(await bench.layerPaths()).toEqual(other.ownLayers);
});
