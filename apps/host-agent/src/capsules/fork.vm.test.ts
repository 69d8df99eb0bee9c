import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isRunning } from "../processes/identity.ts";
import { capsuleRequest, SimulatedHost } from "../testing/simulated-host.ts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";

let host: SimulatedHost;

beforeEach(async () => {
  host = await SimulatedHost.open();
});
afterEach(() => host[Symbol.asyncDispose]());

async function created(): Promise<Capsule> {
  const capsule = await host.capsules.create(capsuleRequest());
  await host.sh(capsule, "printf memory >memory; printf disk >disk");
  return capsule;
}

/** A fork into that many copies. */
function fork(capsule: Capsule, count: number, changes: Partial<CapsuleCommand> = {}) {
  const command = host.command(capsule, changes);
  const { operation } = command;
  const child = () => ({ id: newId("capsule"), operation, generation: 1 });
  return { ...command, children: Array.from({ length: count }, child) };
}

const kept = "head -c 6 memory; head -c 4 disk";
const paused = async (capsule: Capsule) => await host.capsules.pause(host.command(capsule));
const resumed = async (capsule: Capsule) =>
  await host.capsules.resume({ ...host.command(capsule), fromDisk: false });

async function snapshotNames(): Promise<string[]> {
  return (await readdir(host.layout.snapshots)).filter((name) => name.startsWith("sn"));
}

async function destroyAll(): Promise<void> {
  for (const capsule of host.capsules.list()) await host.capsules.destroy(host.command(capsule));
}

describe("a fork", () => {
  test("makes copies that have memory and disk of the source, tokens of their own, and go their own ways", async () => {
    const capsule = await created();
    const pid = capsule.machine?.process.pid;
    const copies = await host.capsules.fork(fork(capsule, 3));
    expect(await snapshotNames()).toHaveLength(1);
    expect(capsule).toMatchObject({ state: "running", generation: 2 });
    expect(capsule.machine?.process.pid).toBe(pid);
    const all = [capsule, ...copies];
    for (const each of all) expect(await host.sh(each, kept)).toBe("memorydisk");
    expect(new Set(all.map(({ record }) => record.accessToken)).size).toBe(4);
    expect(copies.map(({ record }) => record.restoreEpoch)).toEqual([3, 3, 3]);
    for (const [i, each] of all.entries()) await host.sh(each, `printf ${i} >memory; printf ${i} >disk`);
    for (const [i, each] of all.entries()) {
      expect(await host.sh(each, "head -c 1 memory; cat disk")).toBe(`${i}${i}`);
    }
  });

  test("of a paused capsule takes nothing: the copies stand on what it is paused to, also when it is gone", async () => {
    const capsule = await created();
    await paused(capsule);
    const [copy] = await host.capsules.fork(fork(capsule, 1));
    expect(capsule).toMatchObject({ state: "paused", generation: 3 });
    expect(await snapshotNames()).toEqual([capsule.record.snapshot]);
    await host.capsules.destroy(host.command(capsule));
    expect(copy && (await host.sh(copy, kept))).toBe("memorydisk");
  });

  test("leaves nothing behind when all of them are gone, in whichever order", async () => {
    const capsule = await created();
    const [first] = await host.capsules.fork(fork(capsule, 2));
    const [second] = first ? await host.capsules.fork(fork(first, 2)) : [];
    if (second) await paused(second);
    await host.restart();
    await host.capsules.destroy(host.command(capsule));
    if (second) await resumed(host.capsules.get(second.id));
    expect(second && (await host.sh(host.capsules.get(second.id), kept))).toBe("memorydisk");
    await destroyAll();
    await host.end();
    expect(await host.leftovers()).toEqual([]);
  });

  test("that is repeated makes no others, also by another life of the agent", async () => {
    const capsule = await created();
    const request = fork(capsule, 2);
    const [copies, same] = await Promise.all([host.capsules.fork(request), host.capsules.fork(request)]);
    expect(same).toEqual(copies);
    await host.restart();
    const again = await host.capsules.fork(request);
    expect(again.map(({ id }) => id)).toEqual(copies.map(({ id }) => id));
    expect(host.capsules.list()).toHaveLength(3);
  });

  test("of which one copy cannot be made makes none, and the source runs on", async () => {
    const capsule = await created();
    const request = fork(capsule, 3);
    let started = 0;
    host.observe = (when, _id, { step }) => {
      if (when === "before" && step === "claim" && ++started === 3) throw new Error("no third");
    };
    await expect(host.capsules.fork(request)).rejects.toThrow("no third");
    expect(host.capsules.list()).toEqual([capsule]);
    expect(await host.sh(capsule, kept)).toBe("memorydisk");
    expect(await readdir(host.layout.machines)).toEqual([capsule.id]);
    await expect.poll(snapshotNames).toEqual([]);
  });

  test("ends when one of the copies is destroyed meanwhile", async () => {
    const capsule = await created();
    const request = fork(capsule, 2);
    const [child] = request.children;
    const { promise: claiming, resolve } = Promise.withResolvers<void>();
    host.observe = (when, id, { step }) => {
      if (when === "after" && step === "machine" && id === child?.id) resolve();
    };
    const forking = host.capsules.fork(request);
    const refused = expect(forking).rejects.toMatchObject({ code: "conflict" });
    await claiming;
    if (child) await host.capsules.destroy({ ...child, generation: 2 });
    await refused;
    expect(host.capsules.list()).toEqual([capsule]);
  });

  test("many times shortens the disk of the source, which keeps what is on it", async () => {
    const capsule = await created();
    for (let i = 0; i < 8; i++) {
      await host.sh(capsule, `printf ${i} >>disk`);
      const [copy] = await host.capsules.fork(fork(capsule, 1));
      if (copy) await host.capsules.destroy(host.command(copy));
    }
    await expect.poll(() => capsule.record.ownLayers.length).toBeLessThan(4);
    await host.restart();
    expect(await host.sh(host.capsules.get(capsule.id), "cat disk")).toBe("disk01234567");
    await destroyAll();
    await host.end();
    expect(await host.leftovers()).toEqual([]);
  });
});

describe("a snapshot", () => {
  const take = (capsule: Capsule) => ({ ...host.command(capsule), snapshot: newId("snapshot") });

  test.each(["running", "paused"])(
    "of a %s capsule is what others are created from, until it is deleted",
    async (state) => {
      const capsule = await created();
      if (state === "paused") await paused(capsule);
      const request = take(capsule);
      await host.capsules.snapshot(request);
      expect(capsule).toMatchObject({ state, generation: request.generation });
      const { snapshot } = request;
      expect(await host.capsules.listSnapshots()).toMatchObject([
        { manifest: { id: snapshot, capsule: capsule.id, kind: "template" }, sizeBytes: expect.any(Number) },
      ]);
      // Once more is the same.
      await host.capsules.snapshot(request);
      await host.capsules.destroy(host.command(capsule));
      await host.restart();

      const clone = await host.capsules.create({
        ...capsuleRequest({ size: { vcpus: 0, memoryMib: 0 } }),
        snapshot,
      });
      expect(await host.sh(clone, kept)).toBe("memorydisk");
      expect(clone.size).toEqual({ vcpus: 1, memoryMib: 256 });

      await host.capsules.deleteSnapshot(snapshot);
      expect(await host.capsules.listSnapshots()).toEqual([]);
      await expect(host.capsules.create({ ...capsuleRequest(), snapshot })).rejects.toMatchObject({
        code: "not_found",
      });
      // What stands on it goes on, and can be paused and resumed.
      await paused(clone);
      await host.restart();
      await resumed(host.capsules.get(clone.id));
      expect(await host.sh(host.capsules.get(clone.id), kept)).toBe("memorydisk");
      await destroyAll();
      await host.end();
      expect(await host.leftovers()).toEqual([]);
    },
  );

  test("that cannot be taken leaves the capsule as it was, on the layers that it had", async () => {
    const capsule = await created();
    const layers = capsule.record.ownLayers;
    host.observe = (when, _id, { step }) => {
      if (when === "after" && step === "disk") throw new Error("no layer");
    };
    await expect(host.capsules.snapshot(take(capsule))).rejects.toThrow("no layer");
    host.observe = () => {};
    expect(capsule).toMatchObject({ state: "running", generation: 2 });
    await host.restart();
    const after = host.capsules.get(capsule.id);
    expect(after.record.ownLayers.at(0)).toBe(layers[0]);
    expect(await host.sh(after, kept)).toBe("memorydisk");
    expect(after.machine && (await isRunning(after.machine.process))).toBe(true);
  });

  test("that an agent was killed at is no layer of the disk afterwards", async () => {
    const capsule = await created();
    const { source, ownLayers } = capsule.record;
    await host.end();
    // As it is when the agent ends before the machine has the layer that it was to go over to.
    const journal = host.parts.journal;
    const command = { operation: "op", generation: 2, revision: 3 };
    journal.write(capsule.id, { step: "snapshot", ...command, snapshot: newId("snapshot") });
    journal.write(capsule.id, { step: "disk", path: join(host.layout.layers, `${newId("disk")}.qcow2`) });
    await host.start();
    const after = host.capsules.get(capsule.id);
    expect(after.record).toMatchObject({ state: "running", source, ownLayers });
    await host.sh(after, "printf after >disk");
    const [copy] = await host.capsules.fork(fork(after, 1));
    expect(copy && (await host.sh(copy, "cat disk"))).toBe("after");
  });
});
