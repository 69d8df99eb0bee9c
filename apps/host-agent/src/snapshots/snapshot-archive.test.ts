import { readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DirectoryArchive } from "../archive/directory-archive.ts";
import { Flattener } from "../layers/flattener.ts";
import { boot, type Committed, holder, SnapshotBench } from "../testing/snapshot-bench.ts";
import { SimulatedDriver } from "../vmm/simulated/simulated-driver.ts";
import { SnapshotArchive } from "./snapshot-archive.ts";

const { signal } = new AbortController();

let stack: AsyncDisposableStack;
let bench: SnapshotBench;
let dir: string;
let archive: SnapshotArchive;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  bench = await SnapshotBench.make(stack);
  const snapshots = await bench.open();
  dir = join(bench.layout.root, "archive");
  const flattener = new Flattener(bench.layout, new SimulatedDriver("/absent"));
  const opened = await DirectoryArchive.open(dir, "here");
  archive = new SnapshotArchive({ archive: opened, snapshots, layers: bench.layers, flattener });
});
afterEach(() => stack.disposeAsync());

/** A snapshot that is in the archive and not here any more. */
async function hibernated(): Promise<Committed> {
  const first = await bench.commit(boot);
  const committed = await bench.commit(first.id);
  bench.store.release(first.id, holder);
  await archive.put(committed.id, signal);
  bench.store.release(committed.id, holder);
  await expect.poll(() => bench.snapshots()).toEqual([]);
  await expect.poll(() => bench.layerPaths()).toEqual([]);
  return committed;
}

test("a snapshot comes back from the archive as what it was, with one layer on its image", async () => {
  const layer = await bench.makeLayer(Buffer.concat([Buffer.alloc(2 ** 20), Buffer.from("end")]));
  const { id, memory } = await bench.commit(boot, { ownLayers: [layer] });
  const disk = await readFile(layer);
  await archive.put(id, signal);
  const before = bench.store.manifest(id);
  bench.store.release(id, holder);
  await expect.poll(() => bench.layerPaths()).toEqual([]);
  expect(await archive.has(id)).toBe(true);

  await archive.fetch(id, "capsule:two", signal);
  await archive.fetch(id, "capsule:two", signal);
  const source = await bench.store.source(id, signal);
  expect((await readFile(source.machine.memoryPath)).equals(memory)).toBe(true);
  expect(source.machine.diskLayers).toHaveLength(2);
  const restored = source.machine.diskLayers[1]?.path ?? "";
  expect((await readFile(restored)).equals(disk)).toBe(true);
  expect((await stat(restored)).blocks).toBeLessThan(2 ** 19 / 512);
  expect(source).toMatchObject({ token: "secret", restoreEpoch: before.restoreEpoch });
  const [memoryTime, stateTime] = [source.machine.memoryPath, source.machine.deviceStatePath].map(
    async (path) => (await stat(path)).mtimeMs,
  );
  expect(await memoryTime).toBeLessThanOrEqual((await stateTime) ?? 0);

  await bench.open({ snapshots: [{ id, holder }] });
  expect((await bench.memory(id)).equals(memory)).toBe(true);
  expect([...bench.layers.holders(restored)]).toEqual([`snapshot:${id}`]);
});

test("a snapshot that is fetched while it is being removed here is the one that was fetched", async () => {
  const { id, memory } = await bench.commit(boot, {
    ownLayers: [await bench.makeLayer(Buffer.from("disk"))],
  });
  await archive.put(id, signal);
  // What takes long to remove.
  const many = Array.from({ length: 10_000 }, (_, n) => join(bench.layout.snapshots, id, `part-${n}`));
  await Promise.all(many.map((path) => writeFile(path, "")));
  bench.store.release(id, holder);
  await archive.fetch(id, holder, signal);
  expect(await bench.snapshots()).toEqual([id]);
  const { machine } = await bench.store.source(id, signal);
  expect((await bench.memory(id)).equals(memory)).toBe(true);
  expect(await bench.layerPaths()).toEqual(machine.diskLayers.slice(1).map(({ path }) => path));
});

test("a snapshot that is removed from the archive leaves nothing there, also when its put was interrupted", async () => {
  const { id } = await hibernated();
  await archive.remove(id);
  await archive.remove(id);
  expect(await readdir(dir)).toEqual([".incoming-here"]);
  expect(await archive.has(id)).toBe(false);
  const again = await bench.commit(boot);
  const given = AbortSignal.abort(new Error("given up"));
  await expect(archive.put(again.id, given)).rejects.toThrow("given up");
  expect(await archive.has(again.id)).toBe(false);
  await archive.remove(again.id);
  expect(await readdir(dir)).toEqual([".incoming-here"]);
  expect(await bench.layerPaths()).toEqual(again.ownLayers);
});

const parts = ["memory.zst", "disk.zst", "device-state.zst", "token.zst", "manifest.json"];

test.each(parts)(
  "an archive with a damaged, truncated or missing %s is refused, and leaves nothing",
  async (part) => {
    const { id } = await hibernated();
    const path = join(dir, id, part);
    const whole = await readFile(path);
    const changed = Buffer.from(whole);
    const at = Math.floor(whole.length / 2);
    changed.writeUInt8(changed.readUInt8(at) ^ 0x40, at);
    const damages = [
      () => (part === "manifest.json" ? writeFile(path, "{}") : writeFile(path, changed)),
      () => truncate(path, at),
      () => rm(path),
    ];
    for (const damage of damages) {
      await damage();
      const refused = { code: "snapshot_corrupt", message: expect.stringContaining(id) };
      await expect(archive.fetch(id, holder, signal)).rejects.toMatchObject(refused);
      expect(bench.store.has(id)).toBe(false);
      expect(await bench.snapshots()).toEqual([]);
      expect(await bench.layerPaths()).toEqual([]);
    }
    await writeFile(path, whole);
    await archive.fetch(id, holder, signal);
    expect(bench.store.has(id)).toBe(true);
  },
);
