import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { capsuleRequest, SimulatedHost } from "../testing/simulated-host.ts";
import { noTimeRules, type TimeRules } from "../time-rules/time-rules.ts";
import type { Capsule } from "./capsule.ts";

let host: SimulatedHost;

beforeEach(async () => {
  host = await SimulatedHost.open();
});
afterEach(() => host[Symbol.asyncDispose]());

async function created(rules: Partial<TimeRules>): Promise<Capsule> {
  return await host.capsules.create(capsuleRequest({ timeRules: { ...noTimeRules, ...rules } }));
}

const poll = { timeout: 15_000, interval: 20 };
const stateOf = (capsule: Capsule) => expect.poll(() => capsule.state, poll);
const resume = (capsule: Capsule) => ({ ...host.command(capsule), fromDisk: false });

describe("a capsule that nobody uses", () => {
  test("is paused, without a command, and goes on where it was", async () => {
    const capsule = await created({ idleTimeoutSec: 2 });
    await host.sh(capsule, "printf memory >memory");
    const { generation, revision } = capsule;
    await stateOf(capsule).toBe("paused");
    expect(capsule).toMatchObject({ generation, reason: "idle_timeout" });
    expect(capsule.revision).toBeGreaterThan(revision);
    expect(host.parts.changes.all()).toMatchObject([
      { state: "paused", reason: "idle_timeout", generation, time_rules: { timeout_sec: 2 } },
    ]);
    await host.capsules.resume(resume(capsule));
    expect(capsule.reason).toBe("");
    expect(await host.sh(capsule, "head -c 6 memory")).toBe("memory");
    await stateOf(capsule).toBe("paused");
  });

  test("is destroyed when its rules say so", async () => {
    const capsule = await created({ idleTimeoutSec: 1, action: "destroy" });
    await stateOf(capsule).toBe("stopped");
    expect(host.parts.changes.all()).toMatchObject([{ state: "stopped", reason: "idle_timeout" }]);
    await host.end();
    expect(await host.leftovers()).toEqual([]);
  });
});

test("a capsule in use is not idle, but may have run for long enough", async () => {
  const capsule = await created({ idleTimeoutSec: 1, maxRunSec: 3 });
  const began = performance.now();
  using _ = capsule.use();
  await stateOf(capsule).toBe("paused");
  expect(capsule.reason).toBe("max_run_time");
  expect(performance.now() - began).toBeGreaterThan(2_900);
  // Counted anew, or it could not be resumed any more.
  expect(capsule.record.ranMs).toBe(0);
});

test("a paused capsule's time stands still", async () => {
  const capsule = await created({ maxRunSec: 1_000 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  await host.capsules.pause(host.command(capsule));
  const { ranMs = 0 } = capsule.record;
  expect(ranMs).toBeGreaterThanOrEqual(300);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  await host.restart();
  const again = host.capsules.get(capsule.id);
  expect(again.time.ranMs).toBe(ranMs);
  await host.capsules.resume(resume(again));
  expect(again.time.ranMs).toBeGreaterThanOrEqual(ranMs);
  expect(again.time.ranMs).toBeLessThan(ranMs + 2_000);
});

describe("time rules", () => {
  test("can be changed while a capsule runs and while it is paused, and are what is reported", async () => {
    const capsule = await created({});
    const rules = { idleTimeoutSec: 600, maxRunSec: 0, action: "pause" as const };
    await host.capsules.changeTimeRules(capsule.id, rules);
    const { revision } = capsule;
    await host.capsules.changeTimeRules(capsule.id, rules);
    expect(capsule.revision).toBe(revision);
    expect(host.parts.changes.all()).toMatchObject([{ time_rules: { timeout_sec: 600 } }]);

    await host.capsules.pause(host.command(capsule));
    await host.capsules.changeTimeRules(capsule.id, { ...rules, idleTimeoutSec: 1 });
    await host.restart();
    const again = host.capsules.get(capsule.id);
    expect(again.time.rules.idleTimeoutSec).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(again.state).toBe("paused");
    await host.capsules.resume(resume(again));
    await stateOf(again).toBe("paused");
    expect(again.reason).toBe("idle_timeout");
  });

  test("are enforced by the next life of the agent, which counts idleness from its start", async () => {
    const { id } = await created({ idleTimeoutSec: 2 });
    await host.restart();
    const capsule = host.capsules.get(id);
    expect(capsule.state).toBe("running");
    await stateOf(capsule).toBe("paused");
  });

  test("count how long a capsule has run over restarts of the agent", async () => {
    const { id } = await created({ maxRunSec: 1_000 });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await host.restart();
    expect(host.capsules.get(id).time.ranMs).toBeGreaterThanOrEqual(500);
  });
});

test("a pause that fails leaves the capsule running, whatever its rules, and is tried again", async () => {
  const capsule = await created({ idleTimeoutSec: 1 });
  host.observe = (when, _id, { step }) => {
    if (when === "before" && step === "pause") throw Object.assign(new Error("full"), { code: "ENOSPC" });
  };
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(capsule.state).toBe("running");
  expect(await host.sh(capsule, "echo here")).toBe("here\n");
  host.observe = () => {};
  await stateOf(capsule).toBe("paused");
});
