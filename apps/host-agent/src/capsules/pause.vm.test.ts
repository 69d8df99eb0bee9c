import { readFileSync } from "node:fs";
import { readdir, truncate } from "node:fs/promises";
import { basename, join } from "node:path";
import { newId } from "@wrenn/contracts";
import { runCommand } from "@wrenn/daemon";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { isRunning } from "../processes/identity.ts";
import { capsuleRequest, SimulatedHost } from "../testing/simulated-host.ts";
import type { Capsule } from "./capsule.ts";

let host: SimulatedHost;

beforeEach(async () => {
  host = await SimulatedHost.open();
});
afterEach(() => host[Symbol.asyncDispose]());

async function created(): Promise<Capsule> {
  return await host.capsules.create(capsuleRequest());
}

/** Kills the machine of a capsule, and looks until it is dead: whoever journals a step does not wait for anything. */
function endMachine({ machine }: Capsule): void {
  const pid = machine?.process.pid ?? 0;
  process.kill(pid, "SIGKILL");
  while (!/^\d+ \(.*\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"))) {}
}

const resume = (capsule: Capsule) => ({ ...host.command(capsule), fromDisk: false });

describe("a pause and a resume", () => {
  test("keep memory, disk and token, and nothing of a machine in between", async () => {
    const capsule = await created();
    await host.sh(capsule, "printf memory >memory; printf disk >disk");
    const { machine } = capsule;
    const token = capsule.record.accessToken;

    await host.capsules.pause(host.command(capsule));
    expect(capsule).toMatchObject({ state: "paused", generation: 2, reason: "" });
    expect(machine && (await isRunning(machine.process))).toBe(false);
    expect(await readdir(host.layout.machines)).toEqual([]);
    expect(() => capsule.guest).toThrow(expect.objectContaining({ code: "invalid_state" }));

    await host.capsules.resume(resume(capsule));
    expect(capsule).toMatchObject({ state: "running", generation: 3 });
    expect(capsule.record).toMatchObject({ accessToken: token, restoreEpoch: 3 });
    expect(await host.sh(capsule, "head -c 6 memory; head -c 4 disk")).toBe("memorydisk");
  });

  test("can be had as often as one likes, also over restarts of the agent, and leave nothing behind", async () => {
    const { id } = await created();
    const get = () => host.capsules.get(id);
    for (let i = 0; i < 5; i++) {
      await host.sh(get(), `printf ${i} | dd of=memory bs=1 seek=${i} conv=notrunc`);
      await host.capsules.pause(host.command(get()));
      if (i % 2 === 0) await host.restart();
      expect(get().state).toBe("paused");
      await host.capsules.resume(resume(get()));
      expect(await host.sh(get(), `head -c ${i + 1} memory`)).toBe("01234".slice(0, i + 1));
      if (i % 2 === 1) await host.restart();
      // What it stands on, and what it writes.
      expect((await readdir(host.layout.snapshots)).length).toBeLessThanOrEqual(3);
    }
    await host.capsules.destroy(host.command(get()));
    await host.end();
    expect(await host.leftovers()).toEqual([]);
  });

  test("a paused capsule is destroyed like any other", async () => {
    const capsule = await created();
    await host.capsules.pause(host.command(capsule));
    await host.capsules.destroy(host.command(capsule));
    await host.end();
    expect(await host.leftovers()).toEqual([]);
  });
});

describe("commands", () => {
  test("that are repeated while they are under way, or afterwards, are done once", async () => {
    const capsule = await created();
    const pause = host.command(capsule);
    await Promise.all([host.capsules.pause(pause), host.capsules.pause(pause)]);
    const { revision } = capsule;
    await host.capsules.pause(pause);
    expect(capsule.revision).toBe(revision);
    await host.restart();
    const again = host.capsules.get(capsule.id);
    await host.capsules.pause(pause);
    expect(again).toMatchObject({ state: "paused", generation: 2, revision });
  });

  test("whose goal is reached already are taken note of", async () => {
    const capsule = await created();
    await host.capsules.resume(resume(capsule));
    expect(capsule).toMatchObject({ state: "running", generation: 2 });
    await host.capsules.pause(host.command(capsule));
    await host.capsules.pause(host.command(capsule));
    expect(capsule).toMatchObject({ state: "paused", generation: 4 });
    expect(host.parts.changes.all()).toMatchObject([{ state: "paused", generation: 4 }]);
  });

  test("of an older generation are refused", async () => {
    const capsule = await created();
    await host.capsules.pause(host.command(capsule, { generation: 5 }));
    const late = host.capsules.resume({ ...resume(capsule), generation: 4 });
    await expect(late).rejects.toMatchObject({ code: "conflict", field: "generation" });
    expect(capsule).toMatchObject({ state: "paused", generation: 5 });
  });

  test("that race are done one after the other", async () => {
    const capsule = await created();
    const command = (generation: number) => host.command(capsule, { generation });
    await Promise.all([
      host.capsules.pause(command(2)),
      host.capsules.resume({ ...command(3), fromDisk: false }),
      host.capsules.pause(command(4)),
    ]);
    expect(capsule).toMatchObject({ state: "paused", generation: 4 });
  });

  test("a destroy does not wait for a pause to finish, and leaves nothing", async () => {
    const capsule = await created();
    const pausing = host.capsules.pause(host.command(capsule)).catch((error: unknown) => error);
    await host.capsules.destroy(host.command(capsule, { generation: 3 }));
    await pausing;
    await host.end();
    expect(await host.leftovers()).toEqual([]);
  });
});

describe("a host that is drained", () => {
  test("pauses what runs, and the next agent has it", async () => {
    const [one, two, three] = [await created(), await created(), await created()];
    await host.sh(one, "printf kept >memory");
    await host.capsules.pause(host.command(two));
    await host.capsules.drain("pause");
    expect([one, two, three].map(({ state, reason }) => [state, reason])).toEqual([
      ["paused", "host_drained"],
      ["paused", ""],
      ["paused", "host_drained"],
    ]);
    await expect(host.capsules.resume(resume(one))).rejects.toMatchObject({ code: "shutting_down" });
    await host.restart();
    const again = host.capsules.get(one.id);
    await host.capsules.resume(resume(again));
    expect(await host.sh(again, "head -c 4 memory")).toBe("kept");
  });

  test("leaves running what cannot be paused", async () => {
    const capsule = await created();
    host.observe = (when, _id, { step }) => {
      if (when === "before" && step === "pause") throw new Error("no");
    };
    await host.capsules.drain("pause");
    host.observe = () => {};
    await host.restart();
    expect(host.capsules.get(capsule.id).state).toBe("running");
  });
});

describe("what fails", () => {
  test("a pause for which there is no room leaves the capsule running, and says how much is missing", async () => {
    const capsule = await created();
    await host.sh(capsule, "printf kept >memory");
    await using small = new AsyncDisposableStack();
    await runCommand("mount", ["-t", "tmpfs", "-o", "size=16m", "none", host.layout.snapshots]);
    small.defer(async () => void (await runCommand("umount", [host.layout.snapshots])));
    const pausing = host.capsules.pause(host.command(capsule));
    await expect(pausing).rejects.toMatchObject({
      code: "host_disk_full",
      message: expect.stringMatching(/16 MiB free, \d+ MiB are needed/),
    });
    expect(capsule).toMatchObject({ state: "running", generation: 2, reason: "host_disk_full" });
    await small.disposeAsync();
    await host.capsules.pause(host.command(capsule));
    expect(capsule).toMatchObject({ state: "paused", reason: "" });
  });

  test("a disk that is full when the snapshot is there does not undo the pause", async () => {
    const capsule = await created();
    host.observe = (when, _id, { step }) => {
      if (when === "before" && step === "paused") {
        throw Object.assign(new Error("no space"), { code: "ENOSPC" });
      }
    };
    await host.capsules.pause(host.command(capsule));
    expect(capsule.state).toBe("paused");
  });

  test("a snapshot that is damaged is never started: its capsule stays paused, and says why", async () => {
    const capsule = await created();
    await host.sh(capsule, "printf kept >memory");
    await host.capsules.pause(host.command(capsule));
    const dir = join(host.layout.snapshots, capsule.record.snapshot ?? "");
    await expect.poll(() => readdir(dir)).toContain("memory");
    await truncate(join(dir, "memory"), 4096);
    const resuming = host.capsules.resume(resume(capsule));
    await expect(resuming).rejects.toMatchObject({ code: "snapshot_corrupt" });
    expect(capsule).toMatchObject({ state: "paused", generation: 3, reason: "snapshot_corrupt" });
    expect(await readdir(host.layout.machines)).toEqual([]);
    await host.restart();
    expect(host.capsules.get(capsule.id)).toMatchObject({ state: "paused", reason: "snapshot_corrupt" });
  });

  test("a machine that ends while it is paused leaves a capsule in error, which keeps its disk", async () => {
    const capsule = await created();
    host.observe = (when, _id, { step }) => {
      if (when === "after" && step === "pause") endMachine(capsule);
    };
    await expect(host.capsules.pause(host.command(capsule))).rejects.toThrow();
    await expect.poll(() => capsule.state).toBe("error");
    expect(capsule.reason).toBe("vmm_exited");
    const [layer] = capsule.record.ownLayers;
    await host.restart();
    expect(await readdir(host.layout.layers)).toContain(basename(layer ?? ""));
    await host.capsules.destroy(host.command(host.capsules.get(capsule.id)));
    await host.end();
    expect(await host.leftovers()).toEqual([]);
  });

  test("a machine that ends when its snapshot is there is paused like any other", async () => {
    const capsule = await created();
    await host.sh(capsule, "printf kept >memory");
    host.observe = (when, _id, { step }) => {
      if (when === "before" && step === "paused") endMachine(capsule);
    };
    await host.capsules.pause(host.command(capsule));
    await host.capsules.resume(resume(capsule));
    expect(await host.sh(capsule, "head -c 4 memory")).toBe("kept");
  });

  test("a machine that ends while a snapshot is taken leaves a capsule in error, which keeps its disk", async () => {
    const capsule = await created();
    host.observe = (when, _id, { step }) => {
      if (when === "after" && step === "snapshot") endMachine(capsule);
    };
    const taking = host.capsules.snapshot({ ...host.command(capsule), snapshot: newId("snapshot") });
    await expect(taking).rejects.toThrow();
    await expect.poll(() => capsule.state).toBe("error");
    expect(capsule.record.ownLayers).toHaveLength(1);
    expect(await host.capsules.listSnapshots()).toEqual([]);
  });
});
