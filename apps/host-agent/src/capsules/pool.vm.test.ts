import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { defaultMemoryMib, defaultVcpus, newId } from "@wrenn/contracts";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Budget, monitorMib } from "../admission/admission.ts";
import { findProcesses } from "../processes/find.ts";
import { isRunning } from "../processes/identity.ts";
import { roomyBudget } from "../testing/roomy-host.ts";
import { capsuleRequest, SimulatedHost } from "../testing/simulated-host.ts";
import type { Capsule, CapsuleRequest } from "./capsule.ts";

const size = { vcpus: defaultVcpus, memoryMib: defaultMemoryMib };
const machineMib = size.memoryMib + monitorMib;
const poll = { timeout: 15_000, interval: 10 };

let host: SimulatedHost;

beforeEach(async () => {
  host = await SimulatedHost.open({ poolSize: 2 });
});
afterEach(() => host[Symbol.asyncDispose]());

/** The agent again, on a host with this much room. */
async function restartWith(changes: Partial<Budget>, poolSize = 2): Promise<void> {
  await host.end();
  host.budget = { ...roomyBudget, ...changes };
  host.parts = { ...host.parts, poolSize };
  await host.start();
}

async function create(changes: Partial<CapsuleRequest> = {}): Promise<Capsule> {
  return await host.capsules.create(capsuleRequest({ size, ...changes }));
}

/** Names of the machines that wait. */
async function waiting(): Promise<string[]> {
  return (await readdir(host.layout.machines)).filter((name) => name.startsWith("dk"));
}

/** Waits until so many machines wait: each counts in the room of the host, and so do those of capsules. */
async function ready(machines: number, capsules: number): Promise<void> {
  await expect.poll(() => host.parts.admission.machines, poll).toBe(machines + capsules);
  await expect.poll(() => host.capsules.waitingMachines, poll).toBe(machines);
}

describe("a create", () => {
  test("claims a machine that waits, which is then like any other", async () => {
    await create();
    await ready(2, 1);
    const before = new Set(await waiting());
    const capsule = await create();
    const { runDirName } = capsule.record;
    expect(before).toContain(runDirName);
    expect(await host.sh(capsule, "printf memory >memory; echo mine")).toBe("mine\n");
    await ready(2, 2);

    await host.restart();
    const again = host.capsules.get(capsule.id);
    expect(await host.sh(again, "head -c 6 memory")).toBe("memory");
    await host.capsules.pause(host.command(again));
    await host.capsules.resume({ ...host.command(again), fromDisk: false });
    expect(await host.sh(again, "head -c 6 memory")).toBe("memory");
    expect(again.record.runDirName).toBeUndefined();
  });

  test("of another size or with a larger disk is not given one", async () => {
    await create();
    await ready(2, 1);
    for (const changes of [{ size: { ...size, memoryMib: 256 } }, { diskMib: 100_000 }]) {
      expect((await create(changes)).record.runDirName).toBeUndefined();
    }
    expect(host.capsules.waitingMachines).toBe(2);
  });

  test("falls back to a restore when many come at once, and the pool is filled afterwards", async () => {
    await create();
    await ready(2, 1);
    const capsules = await Promise.all(Array.from({ length: 6 }, () => create()));
    expect(capsules.map(({ state }) => state)).toEqual(Array(6).fill("running"));
    const claimed = capsules.filter(({ record }) => record.runDirName !== undefined);
    expect(claimed).toHaveLength(2);
    expect(new Set(capsules.map(({ record }) => record.ownLayers[0])).size).toBe(6);
    await ready(2, 7);
  });

  test("is given another when the machine that waited has just died", async () => {
    await create();
    await ready(2, 1);
    host.observe = (when, id, step) => {
      if (when !== "after" || step.step !== "take_over") return;
      process.kill(step.process.pid, "SIGKILL");
      expect(id).toMatch(/^cl/);
    };
    const capsule = await create();
    expect(capsule.state).toBe("running");
    expect(capsule.record.runDirName).toBeUndefined();
    expect(await host.sh(capsule, "echo here")).toBe("here\n");
  });
});

test("a machine that waits and dies is noticed and replaced", async () => {
  const first = await create();
  await ready(2, 1);
  const [name] = await waiting();
  const { process: identity } = await machineIn(name ?? "");
  process.kill(identity.pid, "SIGKILL");
  await expect.poll(waiting, poll).not.toContain(name);
  await ready(2, 1);
  expect(await isRunning(first.machine?.process ?? identity)).toBe(true);
});

test("the end of the agent ends what waits", async () => {
  const capsule = await create();
  await ready(2, 1);
  await host.restart();
  expect(await readdir(host.layout.machines)).toEqual([capsule.id]);
  expect(host.parts.admission.machines).toBe(1);
});

describe("the host's room", () => {
  test("is not taken for machines that wait when capsules need it", async () => {
    await restartWith({ promisedMib: 3 * machineMib });
    await create();
    await ready(2, 1);
    await create();
    await create({ size: { ...size, memoryMib: 256 } });
    await expect(create()).rejects.toMatchObject({ code: "host_full" });
    expect(host.capsules.list()).toHaveLength(3);
    expect(await waiting()).toHaveLength(1);
    expect(host.capsules.waitingMachines).toBe(0);
  });

  test("comes back with a pause and a destroy, and is needed for a resume", async () => {
    await restartWith({ promisedMib: 2 * machineMib }, 0);
    const [one, two] = [await create(), await create()];
    await expect(create()).rejects.toMatchObject({ code: "host_full" });
    await host.capsules.pause(host.command(one));
    const three = await create();
    const refused = host.capsules.resume({ ...host.command(one), fromDisk: false });
    await expect(refused).rejects.toMatchObject({ code: "host_full" });
    expect(one).toMatchObject({ state: "paused", reason: "host_full" });
    await host.capsules.destroy(host.command(two));
    await host.capsules.resume({ ...host.command(one), fromDisk: false });
    expect(host.parts.admission.machines).toBe(2);
    await host.capsules.destroy(host.command(three));
    await host.capsules.destroy(host.command(one));
    expect(host.parts.admission.machines).toBe(0);
  });

  test("is taken for all copies of a fork, or the source is not even stopped", async () => {
    await restartWith({ promisedMib: 3 * machineMib }, 0);
    const capsule = await create();
    const child = () => ({ id: newId("capsule"), operation: newId("operation"), generation: 1 });
    const fork = (count: number) => {
      return host.capsules.fork({ ...host.command(capsule), children: Array.from({ length: count }, child) });
    };
    await expect(fork(3)).rejects.toMatchObject({ code: "host_full" });
    expect(capsule).toMatchObject({ state: "running", generation: 2 });
    expect(capsule.machine?.ownLayers).toHaveLength(1);
    expect(host.parts.admission.machines).toBe(1);
    expect(await fork(2)).toHaveLength(2);
    expect(host.parts.admission.machines).toBe(3);
  });

  test("a create that fails gives its room back, and its refusal leaves nothing", async () => {
    await restartWith({ promisedMib: machineMib }, 0);
    await expect(create({ template: "nope" })).rejects.toMatchObject({ code: "not_found" });
    await create();
    await expect(create()).rejects.toMatchObject({ code: "host_full" });
    expect(host.parts.admission.machines).toBe(1);
    expect(await readdir(host.layout.machines)).toHaveLength(1);
  });

  test("is counted for capsules that run when the agent starts, however little there is", async () => {
    await restartWith({}, 0);
    const capsules = [await create(), await create()];
    await restartWith({ promisedMib: 0, maxMachines: 1 }, 0);
    expect(host.parts.admission).toMatchObject({ machines: 2, promisedMib: 2 * machineMib });
    expect(host.capsules.list().map(({ state }) => state)).toEqual(capsules.map(() => "running"));
  });
});

/** The machine in a run directory. */
async function machineIn(name: string) {
  const [identity] = await findProcesses({ dir: join(host.layout.machines, name) });
  if (!identity) throw new Error(`no machine is in ${name}`);
  return { process: identity };
}
