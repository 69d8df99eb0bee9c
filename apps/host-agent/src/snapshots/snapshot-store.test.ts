import { mkdir, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { afterEach, beforeEach, expect, test } from "vitest";
import { boot, holder, SnapshotBench } from "../testing/snapshot-bench.ts";

const { signal } = new AbortController();

let stack: AsyncDisposableStack;
let bench: SnapshotBench;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  bench = await SnapshotBench.make(stack);
  await bench.open();
});
afterEach(() => stack.disposeAsync());

test("a committed snapshot is restored from with the memory, the disk and the token that it was saved with", async () => {
  const first = await bench.commit(boot);
  const second = await bench.commit(first.id);
  const source = await bench.store.source(second.id, signal);
  expect((await readFile(source.machine.memoryPath)).equals(second.memory)).toBe(true);
  const { diskLayers } = (await bench.store.source(boot, signal)).machine;
  const own = [...first.ownLayers, ...second.ownLayers].map((path) => ({ path, format: "qcow2" }));
  expect(source.machine.diskLayers).toEqual([...diskLayers, ...own]);
  expect(source).toMatchObject({ id: second.id, token: "secret", restoreEpoch: 2, diskBytes: 2 ** 20 });
  expect((await stat(bench.path(second.id, "token"))).mode & 0o777).toBe(0o600);
});

test("a snapshot is the same after a start of the agent, whether its image had been made or not", async () => {
  const first = await bench.commit(boot);
  await bench.close();
  await rm(bench.path(first.id, "memory"), { force: true });
  await bench.open({ snapshots: [{ id: first.id, holder }] });
  expect((await bench.memory(first.id)).equals(first.memory)).toBe(true);
  const manifest = bench.store.manifest(first.id);
  await bench.open({ snapshots: [{ id: first.id, holder }] });
  expect(bench.store.manifest(first.id)).toEqual(manifest);
  expect((await bench.memory(first.id)).equals(first.memory)).toBe(true);
});

test("a draft that is not committed leaves nothing, and one that is stays", async () => {
  {
    await using draft = await bench.store.begin(newId("snapshot"));
    await bench.save(draft.dir, boot);
  }
  expect(await bench.snapshots()).toEqual([]);
  const { id } = await bench.commit(boot);
  await expect(bench.store.begin(id)).rejects.toMatchObject({ code: "conflict" });
});

test("a commit that fails holds nothing", async () => {
  const layer = await bench.makeLayer();
  const absent = join(bench.layout.layers, "absent.qcow2");
  bench.layers.hold(layer, holder);
  await expect(bench.commit(boot, { ownLayers: [layer, absent] })).rejects.toMatchObject({ code: "ENOENT" });
  expect(await bench.snapshots()).toEqual([]);
  expect([...bench.layers.holders(layer)]).toEqual([holder]);
});

test("a snapshot and its layers go with their last holder", async () => {
  const { id, ownLayers } = await bench.commit(boot);
  bench.store.hold(id, "capsule:two");
  bench.store.release(id, holder);
  expect(await bench.layerPaths()).toEqual(ownLayers);
  expect(bench.store.has(id)).toBe(true);
  bench.store.release(id, "capsule:two");
  expect(bench.store.has(id)).toBe(false);
  await bench.close();
  expect(await bench.snapshots()).toEqual([]);
  expect(await bench.layerPaths()).toEqual([]);
});

test("a layer that a machine still writes stays when the snapshots below it go, and the other way round", async () => {
  const first = await bench.commit(boot);
  const second = await bench.commit(first.id);
  bench.store.release(first.id, holder);
  await expect.poll(() => bench.snapshots()).toEqual([second.id]);
  expect((await bench.layerPaths()).sort()).toEqual([...first.ownLayers, ...second.ownLayers].sort());
  expect((await bench.memory(second.id)).equals(second.memory)).toBe(true);
});

test("the base of a diff stays until its image is on the disk, whoever lets go of it", async () => {
  const first = await bench.commit(boot);
  const second = await bench.commit(first.id);
  await bench.close();
  await bench.open({ snapshots: [{ id: second.id, holder }] });
  expect((await bench.memory(second.id)).equals(second.memory)).toBe(true);
  await expect.poll(() => bench.snapshots()).toEqual([second.id]);
  expect(await readdir(join(bench.layout.snapshots, second.id))).not.toContain("memory-diff");
});

test("what nobody holds is removed at the start, and what somebody holds is not", async () => {
  const [kept, lost] = [await bench.commit(boot), await bench.commit(boot)];
  const held = await bench.makeLayer();
  await bench.makeLayer();
  await mkdir(join(bench.layout.snapshots, `${newId("snapshot")}.partial-x`));
  await mkdir(join(bench.layout.snapshots, `.deleted-${newId("snapshot")}`));
  await bench.open({ snapshots: [{ id: kept.id, holder }], layers: [{ path: held, holder }] });
  await expect.poll(() => bench.snapshots()).toEqual([kept.id]);
  expect((await bench.layerPaths()).sort()).toEqual([...kept.ownLayers, held].sort());
  expect(bench.store.has(lost.id)).toBe(false);
});

test("while a holder is not known, everything stays", async () => {
  const { id, ownLayers } = await bench.commit(boot);
  const layer = await bench.makeLayer();
  await mkdir(join(bench.layout.snapshots, `${newId("snapshot")}.partial-x`));
  const before = await bench.snapshots();
  await bench.open({ keepAll: "journal_unreadable" });
  await bench.close();
  expect(await bench.snapshots()).toEqual(before);
  expect(await bench.layerPaths()).toEqual(expect.arrayContaining([...ownLayers, layer]));
  expect(before).toContain(id);
});

test("a template is offered until it is deleted, and stays while something stands on it", async () => {
  const { id } = await bench.commit(boot, { kind: "template", holder: undefined });
  await bench.open();
  expect(bench.store.list().map((manifest) => manifest.id)).toEqual([id]);
  expect(bench.store.offered(id).capsule).toBe("one");
  bench.store.hold(id, "capsule:two");
  await bench.store.delete(id);
  await bench.store.delete(id);
  expect(() => bench.store.offered(id)).toThrow(expect.objectContaining({ code: "not_found" }));
  await bench.open({ snapshots: [{ id, holder: "capsule:two" }] });
  expect(bench.store.list()).toEqual([]);
  expect(await bench.memory(id)).toBeDefined();
  bench.store.release(id, "capsule:two");
  await expect.poll(() => bench.snapshots()).toEqual([]);
});

test("a duplicate is a snapshot of its own: it stays when the one that it was made of goes", async () => {
  const paused = await bench.commit(boot);
  const id = newId("snapshot");
  await bench.store.duplicate(paused.id, id, "template");
  expect(bench.store.list()).toMatchObject([{ id, kind: "template" }]);
  bench.store.release(paused.id, holder);
  await expect.poll(() => bench.snapshots()).toEqual([id]);
  expect((await bench.memory(id)).equals(paused.memory)).toBe(true);
  expect((await bench.store.source(id, signal)).token).toBe("secret");
  expect(await bench.layerPaths()).toEqual(paused.ownLayers);
});

test("the size of a snapshot leaves out what it shares", async () => {
  const layer = await bench.makeLayer(Buffer.alloc(2 ** 20, 1));
  const { id } = await bench.commit(boot, { ownLayers: [layer] });
  const alone = await bench.store.sizeBytes(id);
  expect(alone).toBeGreaterThan(2 ** 20);
  bench.layers.hold(layer, "capsule:two");
  expect(await bench.store.sizeBytes(id)).toBeLessThan(alone - 2 ** 19);
  expect(await bench.store.sizeBytes(newId("snapshot"))).toBe(0);
});

test("room is asked for with how much is missing", async () => {
  await bench.store.checkRoom(1);
  await expect(bench.store.checkRoom(2 ** 60)).rejects.toMatchObject({
    code: "host_disk_full",
    message: expect.stringMatching(/\d+ MiB are missing/),
  });
});

/** What may become of a snapshot on the disk, and what it is then. */
const damages: readonly [string, (id: string, layer: string) => Promise<void>][] = [
  ["a truncated memory", (id) => truncate(bench.path(id, "memory"), 4096)],
  ["no memory", (id) => rm(bench.path(id, "memory"))],
  ["no device state", (id) => rm(bench.path(id, "device-state"))],
  ["no token", (id) => rm(bench.path(id, "token"))],
  ["a missing layer", (_, layer) => rm(layer)],
  ["a truncated manifest", (id) => truncate(bench.path(id, "manifest.json"), 100)],
  [
    "a manifest of another version",
    (id) => writeFile(bench.path(id, "manifest.json"), `{"formatVersion":9}`),
  ],
  ["no manifest", (id) => rm(bench.path(id, "manifest.json"))],
];

test.each(damages)("a snapshot with %s is refused by the name of the file", async (_, damage) => {
  const { id, ownLayers } = await bench.commit(boot);
  await bench.close();
  await bench.open({ snapshots: [{ id, holder }] });
  await bench.memory(id);
  await bench.close();
  await damage(id, ownLayers[0] ?? "");
  await bench.open({ snapshots: [{ id, holder }] });
  const refused = { code: "snapshot_corrupt", message: expect.stringContaining(bench.layout.root) };
  await expect(bench.store.source(id, signal)).rejects.toMatchObject(refused);
  expect(bench.store.has(id)).toBe(true);
});

test("a damaged diff is refused, and its snapshot is not started", async () => {
  const { id } = await bench.commit(boot);
  await bench.close();
  await rm(bench.path(id, "memory"), { force: true });
  await writeFile(bench.path(id, "memory-diff"), "damaged");
  await bench.open({ snapshots: [{ id, holder }] });
  await expect(bench.store.source(id, signal)).rejects.toMatchObject({ code: "snapshot_corrupt" });
});

test("nothing is removed that a snapshot that cannot be read may need, until that one goes itself", async () => {
  const [lost, other] = [await bench.commit(boot), await bench.commit(boot)];
  await truncate(bench.path(lost.id, "manifest.json"), 10);
  await bench.open({ snapshots: [{ id: lost.id, holder }] });
  expect((await bench.snapshots()).sort()).toEqual([lost.id, other.id].sort());
  expect((await bench.layerPaths()).sort()).toEqual([...lost.ownLayers, ...other.ownLayers].sort());
  bench.store.release(lost.id, holder);
  await expect.poll(() => bench.snapshots()).toEqual([]);
  await bench.close();
  await bench.open();
  expect(await bench.layerPaths()).toEqual([]);
});

test("a snapshot that cannot be read and that nobody holds stays until it is deleted", async () => {
  const { id } = await bench.commit(boot, { kind: "template", holder: undefined });
  await rm(bench.path(id, "manifest.json"));
  await bench.open();
  expect(await bench.snapshots()).toEqual([id]);
  expect(bench.store.list()).toEqual([]);
  await bench.store.delete(id);
  await expect.poll(() => bench.snapshots()).toEqual([]);
});

test("restore on an incompatible host: another build, network or processor is refused with the reason", async () => {
  const { id } = await bench.commit(boot);
  const vmm = { name: "simulated", version: "1", network: "none" as const };
  const hosts = [
    [{ vmm: { ...vmm, version: "2" } }, "simulated 2"],
    [{ vmm: { ...vmm, name: "qemu-tcg" } }, "qemu-tcg 1"],
    [{ vmm: { ...vmm, network: "passt" as const } }, "passt"],
    [{ cpu: "Other (0123)" }, "Other (0123)"],
  ] as const;
  for (const [host, reason] of hosts) {
    await bench.open({ snapshots: [{ id, holder }], ...(host as object) });
    const refused = { code: "snapshot_incompatible", message: expect.stringContaining(reason) };
    await expect(bench.store.source(id, signal)).rejects.toMatchObject(refused);
  }
  await bench.open({ snapshots: [{ id, holder }] });
  expect((await bench.store.source(id, signal)).id).toBe(id);
});

test("whoever gives up waits no longer, and the image is made all the same", async () => {
  const { id, memory } = await bench.commit(boot);
  const given = AbortSignal.abort(new Error("given up"));
  await expect(bench.store.source(id, given)).rejects.toThrow("given up");
  expect((await bench.memory(id)).equals(memory)).toBe(true);
});
