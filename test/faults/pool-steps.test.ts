import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Capsule } from "@wrenn/contracts/rest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Deployment } from "../support/deployment.ts";
import { heldOnHost, startIdle } from "../support/host-state.ts";

const poll = { timeout: 60_000, interval: 100 };

const stack = new AsyncDisposableStack();
let deployment: Deployment;
let idle: readonly string[];

beforeAll(async () => {
  ({ deployment, idle } = await startIdle(stack));
});
afterAll(() => stack.disposeAsync());

/** The agent again, with a pool of one, which a create has filled. @param fault comes after the claim has begun. */
async function startWithPool(fault: string): Promise<string> {
  await deployment.killAgent();
  await deployment.startAgent({
    ...{ WRENN_POOL_SIZE: "1", WRENN_TEST_FAULT: fault, WRENN_TEST_FAULT_FROM: "take_over" },
  });
  const before = await timesWaited();
  const { id } = await deployment.api.capsule(new AsyncDisposableStack());
  await expect.poll(timesWaited, poll).toBe(before + 1);
  return id;
}

/** How often a machine has begun to wait, by the log. */
async function timesWaited(): Promise<number> {
  const log = await readFile(join(deployment.wrennDir, "logs", "agent.log"), "utf8");
  return log.split("a machine waits for a create").length - 1;
}

async function restartWithout(): Promise<void> {
  await deployment.killAgent();
  await deployment.startAgent();
}

/** Destroys every capsule; then nothing of them may be left. */
async function expectIdleAfterAll(): Promise<void> {
  const listed = (await (await deployment.api.call("GET", "/v1/capsules")).json()) as Capsule[];
  for (const { id } of listed) await deployment.api.call("DELETE", `/v1/capsules/${id}`);
  await expect.poll(() => heldOnHost(deployment), poll).toEqual(idle);
}

describe("an agent that is killed while a create claims a machine that waited", () => {
  test.each(["before:take_over", "after:take_over", "after:claim"])(
    "%s: nothing is left of the machine, and the other capsule runs on",
    async (fault) => {
      const other = await startWithPool(fault);
      await deployment.api.shell(other, "echo kept >/dev/shm/memory");
      const response = await deployment.api.call("POST", "/v1/capsules", {});
      await deployment.agentEnded();
      expect(response.status).toBe(503);
      await restartWithout();
      expect((await deployment.api.shell(other, "cat /dev/shm/memory")).stdout).toBe("kept\n");
      await deployment.api.call("DELETE", `/v1/capsules/${other}`);
      await expect.poll(() => heldOnHost(deployment), poll).toEqual(idle);
      await expectIdleAfterAll();
    },
  );
});

test("a claimed machine is adopted like any other, and one that waited is removed as an orphan", async () => {
  const other = await startWithPool("");
  const { id } = await deployment.api.capsule(new AsyncDisposableStack());
  await deployment.api.shell(id, "echo kept >/dev/shm/memory");
  await restartWithout();
  expect((await deployment.api.shell(id, "cat /dev/shm/memory")).stdout).toBe("kept\n");
  const machines = (await heldOnHost(deployment)).filter((name) => name.startsWith("process "));
  expect(machines).toHaveLength(2);
  expect(other).not.toBe(id);
  await expectIdleAfterAll();
});

test("an agent that is killed while it destroys a capsule whose machine waited before finishes that", async () => {
  await startWithPool("before:release:run_dir");
  const { id } = await deployment.api.capsule(new AsyncDisposableStack());
  await deployment.api.call("DELETE", `/v1/capsules/${id}`);
  await deployment.agentEnded();
  await restartWithout();
  await expectIdleAfterAll();
});
