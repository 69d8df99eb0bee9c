import { copyFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { afterEach, beforeEach, expect, test } from "vitest";
import { boot, type Committed, holder, SnapshotBench } from "../testing/snapshot-bench.ts";
import type { SnapshotManifest } from "./manifest.ts";

/** What the disk looks like when an agent is killed between two steps, and what the next one makes of it. */
let stack: AsyncDisposableStack;
let bench: SnapshotBench;
let base: Committed;
let snapshot: Committed;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  bench = await SnapshotBench.make(stack);
  await bench.open();
  base = await bench.commit(boot);
  snapshot = await bench.commit(base.id);
  await bench.memory(snapshot.id);
  await bench.open({ snapshots: held() });
  await bench.close();
});
afterEach(() => stack.disposeAsync());

function held() {
  return [base, snapshot].map(({ id }) => ({ id, holder }));
}

async function manifest(): Promise<SnapshotManifest> {
  return JSON.parse(await readFile(bench.path(snapshot.id, "manifest.json"), "utf8"));
}

async function expectWhole(): Promise<void> {
  expect((await bench.memory(snapshot.id)).equals(snapshot.memory)).toBe(true);
  expect((await bench.memory(base.id)).equals(base.memory)).toBe(true);
}

const harmless: readonly [string, () => Promise<void>][] = [
  [
    "a draft had been begun",
    async () => void (await mkdir(join(bench.layout.snapshots, `${newId("snapshot")}.partial-x`))),
  ],
  [
    "a merged image was being made",
    async () => writeFile(bench.path(snapshot.id, "memory.partial"), "a part of it"),
  ],
  [
    "a manifest was being replaced",
    async () => writeFile(bench.path(snapshot.id, "manifest.json.0123456789ab.tmp"), "{"),
  ],
  [
    "the disk had been flattened, and the manifest not replaced",
    async () => void (await bench.makeLayer(await readFile(snapshot.ownLayers[0] ?? ""))),
  ],
];

test.each(harmless)(
  "killed when %s: the snapshots are what they were, and nothing else is left",
  async (_, leave) => {
    await leave();
    await bench.open({ snapshots: held() });
    await expectWhole();
    expect((await bench.snapshots()).sort()).toEqual([base.id, snapshot.id].sort());
    expect((await bench.layerPaths()).sort()).toEqual([...base.ownLayers, ...snapshot.ownLayers].sort());
  },
);

test("killed when the manifest of a flattened disk was there and the old layers too: those go", async () => {
  const path = await bench.makeLayer(await readFile(snapshot.ownLayers[0] ?? ""));
  const before = await manifest();
  const diskLayers = [...before.diskLayers.slice(0, 2), { path, format: "qcow2" as const }];
  await writeFile(bench.path(snapshot.id, "manifest.json"), JSON.stringify({ ...before, diskLayers }));
  await bench.open({ snapshots: held() });
  await expectWhole();
  expect((await bench.layerPaths()).sort()).toEqual([...base.ownLayers, path].sort());
});

test("killed when a snapshot was being removed: it is gone, and what it alone held", async () => {
  await rename(bench.path(snapshot.id, ""), join(bench.layout.snapshots, `.deleted-${snapshot.id}-x`));
  await bench.open({ snapshots: held() });
  expect(bench.store.has(snapshot.id)).toBe(false);
  expect(await bench.snapshots()).toEqual([base.id]);
  expect(await bench.layerPaths()).toEqual(base.ownLayers);
});

test("killed when a deletion had been noted: a template that is used stays, and is not offered", async () => {
  await bench.open({ snapshots: held() });
  const template = await bench.commit(boot, { kind: "template", holder: undefined });
  await bench.close();
  await writeFile(bench.path(template.id, "deleted"), "");
  const user = { id: template.id, holder: "capsule:two" };
  await bench.open({ snapshots: [...held(), user] });
  expect(bench.store.list()).toEqual([]);
  expect((await bench.memory(template.id)).equals(template.memory)).toBe(true);
  await bench.open({ snapshots: held() });
  await expect
    .poll(() => bench.snapshots().then((names) => names.sort()))
    .toEqual([base.id, snapshot.id].sort());
});

test("power lost before an image was on the disk: it is made again of the diff, whose base is still there", async () => {
  await copyFile(snapshot.diffCopy, bench.path(snapshot.id, "memory-diff"));
  await writeFile(bench.path(snapshot.id, "memory"), "holes");
  await writeFile(bench.path(snapshot.id, "memory.unsynced"), "another boot of the host");
  await bench.open({ snapshots: [{ id: snapshot.id, holder }] });
  expect((await bench.memory(snapshot.id)).equals(snapshot.memory)).toBe(true);
  await expect.poll(() => bench.snapshots()).toEqual([snapshot.id]);
});
