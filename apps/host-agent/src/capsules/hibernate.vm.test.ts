import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { capsuleRequest, SimulatedHost } from "../testing/simulated-host.ts";
import type { Capsule } from "./capsule.ts";

let host: SimulatedHost;

beforeEach(async () => {
  host = await SimulatedHost.open();
});
afterEach(() => host[Symbol.asyncDispose]());

const kept = "head -c 6 memory; head -c 4 disk";
const resume = (capsule: Capsule, fromDisk = false) => ({ ...host.command(capsule), fromDisk });

async function created(): Promise<Capsule> {
  const capsule = await host.capsules.create(capsuleRequest());
  await host.sh(capsule, "printf memory >memory; printf disk >disk");
  return capsule;
}

async function paused(): Promise<Capsule> {
  const capsule = await created();
  await host.capsules.pause(host.command(capsule));
  return capsule;
}

async function hibernated(): Promise<Capsule> {
  const capsule = await paused();
  await host.capsules.hibernate(host.command(capsule));
  return capsule;
}

async function dead(): Promise<Capsule> {
  const capsule = await created();
  process.kill(capsule.machine?.process.pid ?? 0, "SIGKILL");
  await expect.poll(() => capsule.state).toBe("error");
  return capsule;
}

/** Snapshots on the host, boot snapshots aside. */
async function snapshots(): Promise<string[]> {
  return (await readdir(host.layout.snapshots)).filter((name) => name.startsWith("sn"));
}

async function archived(): Promise<string[]> {
  const names = await readdir(host.layout.archive, { recursive: true, withFileTypes: true });
  return names.filter((name) => name.isFile()).map(({ name }) => name);
}

async function expectNothingLeft(capsule: Capsule): Promise<void> {
  await host.capsules.destroy(host.command(host.capsules.get(capsule.id)));
  await host.end();
  expect(await host.leftovers()).toEqual([]);
  expect(await archived()).toEqual([]);
}

describe("a hibernated capsule", () => {
  test("is in the archive and nowhere else, and comes back from there as it was", async () => {
    const capsule = await hibernated();
    expect(capsule).toMatchObject({ state: "hibernated", generation: 3 });
    await expect.poll(snapshots).toEqual([]);
    expect(await archived()).not.toEqual([]);
    await host.restart();
    const again = host.capsules.get(capsule.id);
    expect(again.state).toBe("hibernated");
    await host.capsules.resume(resume(again));
    expect(await host.sh(again, kept)).toBe("memorydisk");
    expect(again.record.accessToken).toBe(capsule.record.accessToken);
    expect(await archived()).toEqual([]);
    await expectNothingLeft(again);
  });

  test("is destroyed like any other", async () => {
    await expectNothingLeft(await hibernated());
  });

  test("that is damaged in the archive is not started, and stays hibernated", async () => {
    const capsule = await hibernated();
    for (const { parentPath, name } of await readdir(host.layout.archive, {
      recursive: true,
      withFileTypes: true,
    })) {
      if (name.startsWith("memory")) await truncate(join(parentPath, name), 8);
    }
    await expect(host.capsules.resume(resume(capsule))).rejects.toMatchObject({ code: "snapshot_corrupt" });
    expect(capsule).toMatchObject({ state: "hibernated", reason: "snapshot_corrupt" });
    await host.restart();
    expect(host.capsules.get(capsule.id).state).toBe("hibernated");
    await expectNothingLeft(capsule);
  });

  test("that cannot be put away stays paused, and can be resumed", async () => {
    const capsule = await paused();
    await writeFile(join(host.layout.archive, capsule.record.snapshot ?? ""), "in the way");
    await expect(host.capsules.hibernate(host.command(capsule))).rejects.toThrow();
    expect(capsule.state).toBe("paused");
    await host.capsules.resume(resume(capsule));
    expect(await host.sh(capsule, kept)).toBe("memorydisk");
  });
});

describe("a start from the disk", () => {
  test("of a paused capsule loses its memory and keeps its disk", async () => {
    const capsule = await paused();
    await host.capsules.resume(resume(capsule, true));
    expect(capsule).toMatchObject({ state: "running", generation: 3 });
    expect(await host.sh(capsule, "head -c 6 memory | tr -d '\\0'; head -c 4 disk")).toBe("disk");
    await host.capsules.pause(host.command(capsule));
    await host.restart();
    const again = host.capsules.get(capsule.id);
    await host.capsules.resume(resume(again));
    expect(await host.sh(again, "head -c 4 disk")).toBe("disk");
    await expectNothingLeft(again);
  });

  test("of one whose snapshot is damaged is the way out", async () => {
    const capsule = await paused();
    const dir = join(host.layout.snapshots, capsule.record.snapshot ?? "");
    await expect.poll(() => readdir(dir)).toContain("memory");
    await truncate(join(dir, "memory"), 4096);
    await expect(host.capsules.resume(resume(capsule))).rejects.toMatchObject({ code: "snapshot_corrupt" });
    await host.capsules.resume(resume(capsule, true));
    expect(await host.sh(capsule, "head -c 4 disk")).toBe("disk");
  });

  test("of one whose machine has died takes what that has left", async () => {
    const capsule = await dead();
    await expect(host.capsules.resume(resume(capsule))).rejects.toMatchObject({ code: "invalid_state" });
    await host.capsules.resume(resume(capsule, true));
    expect(capsule).toMatchObject({ state: "running", reason: "" });
    expect(await host.sh(capsule, "head -c 4 disk")).toBe("disk");
    await host.restart();
    await expectNothingLeft(capsule);
  });

  test("that fails leaves it in error, with the disk, also over a restart of the agent", async () => {
    const capsule = await dead();
    host.observe = (when, _id, { step }) => {
      if (when === "before" && step === "machine") throw new Error("no machine");
    };
    await expect(host.capsules.resume(resume(capsule, true))).rejects.toThrow("no machine");
    host.observe = () => {};
    expect(capsule.state).toBe("error");
    await host.restart();
    const again = host.capsules.get(capsule.id);
    expect(again.state).toBe("error");
    await host.capsules.resume(resume(again, true));
    expect(await host.sh(again, "head -c 4 disk")).toBe("disk");
    await expectNothingLeft(again);
  });

  test("is not to be had of one of which nothing can be read", async () => {
    const { id } = await created();
    await host.end();
    const path = join(host.layout.journal, `${id}.journal`);
    await writeFile(path, (await readFile(path, "utf8")).replace('"step":"create"', '"step":"?"'));
    await host.start();
    const capsule = host.capsules.get(id);
    await expect(host.capsules.resume(resume(capsule, true))).rejects.toMatchObject({
      code: "invalid_state",
    });
  });
});
