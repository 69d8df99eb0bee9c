import { readFile, writeFile } from "node:fs/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { boot, holder, SnapshotBench } from "../testing/snapshot-bench.ts";
import { scrub } from "./scrubber.ts";

const { signal } = new AbortController();

let stack: AsyncDisposableStack;
let bench: SnapshotBench;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  bench = await SnapshotBench.make(stack);
  await bench.open();
});
afterEach(() => stack.disposeAsync());

/** A snapshot whose memory is on the disk, with its digest. */
async function scrubbed(): Promise<string> {
  const { id } = await bench.commit(boot);
  await bench.open({ snapshots: [{ id, holder }] });
  await bench.memory(id);
  await expect
    .poll(async () => {
      await scrub(id, bench.store, signal);
      return await readFile(bench.path(id, "memory-sha256"), "utf8").catch(() => "");
    })
    .toMatch(/^[0-9a-f]{64}$/);
  return id;
}

test("a snapshot that is as it was stays one", async () => {
  const id = await scrubbed();
  await scrub(id, bench.store, signal);
  expect((await bench.store.source(id, signal)).id).toBe(id);
});

test.each(["memory", "device-state"])(
  "one changed bit of the %s is noticed, and it is never started",
  async (part) => {
    const id = await scrubbed();
    const path = bench.path(id, part);
    const content = await readFile(path);
    content.writeUInt8(content.readUInt8(3) ^ 1, 3);
    await writeFile(path, content);
    const refused = { code: "snapshot_corrupt", message: expect.stringContaining(path) };
    await expect(scrub(id, bench.store, signal)).rejects.toMatchObject(refused);
    await expect(bench.store.source(id, signal)).rejects.toMatchObject(refused);
    await bench.open({ snapshots: [{ id, holder }] });
    await expect(bench.store.source(id, signal)).rejects.toMatchObject(refused);
    expect((await bench.store.disk(id, signal)).id).toBe(id);
  },
);

test("a snapshot that is given up meanwhile is left alone", async () => {
  const { id } = await bench.commit(boot);
  const given = AbortSignal.abort(new Error("given up"));
  await bench.memory(id);
  await bench.open({ snapshots: [{ id, holder }] });
  await expect.poll(() => scrub(id, bench.store, given).then(() => "", String)).toContain("given up");
  expect((await bench.store.source(id, signal)).id).toBe(id);
});
