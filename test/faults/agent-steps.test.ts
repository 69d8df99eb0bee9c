import type { Capsule } from "@wrenn/contracts/rest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Deployment } from "../support/deployment.ts";
import { disagreements, heldOnHost, startIdle } from "../support/host-state.ts";

/** The steps that the agent's journal has, in their order. Each is written before it is done. */
const createSteps = ["create", "run_dir", "disk", "slot", "machine", "started", "claim", "running"];
const destroySteps = ["destroy", "release:machine", "release:slot", "release:disk", "release:run_dir"];

const settledMs = 60_000;
const poll = { timeout: settledMs, interval: 100 };

const stack = new AsyncDisposableStack();
let deployment: Deployment;
/** What is there when no capsule is: the boot snapshot stands on a disk layer. */
let idle: readonly string[];

beforeAll(async () => {
  ({ deployment, idle } = await startIdle(stack));
  expect(idle).toEqual([expect.stringMatching(/^layers\//)]);
});
afterAll(() => stack.disposeAsync());

/** Capsules that the control plane lists, which is what it says is on the host. */
async function listed(): Promise<Capsule[]> {
  return (await (await deployment.api.call("GET", "/v1/capsules")).json()) as Capsule[];
}

/** The agent again, with its next crash prepared, or without one. */
async function restartAgent(fault?: string): Promise<void> {
  await deployment.killAgent();
  await deployment.startAgent(fault ? { WRENN_TEST_FAULT: fault } : {});
}

/** Every point at which an operation can be cut off: before and after each step is noted. */
function points(steps: readonly string[]): string[] {
  return steps.flatMap((step) => [`before:${step}`, `after:${step}`]);
}

describe("an agent that is killed while it creates leaves a capsule that is fully there or fully gone", () => {
  test.each(points(createSteps))("%s", async (fault) => {
    await restartAgent(fault);
    const creating = deployment.api.call("POST", "/v1/capsules", {});
    await deployment.agentEnded();
    const response = await creating;
    expect(response.status).toBe(503);
    await restartAgent();

    await expect.poll(async () => (await listed()).map(({ state }) => state), poll).toEqual(["error"]);
    const [capsule] = await listed();
    await expect.poll(() => disagreements(deployment, [capsule?.id ?? ""]), poll).toEqual([]);
    await expect.poll(() => heldOnHost(deployment), poll).toEqual(idle);

    expect((await deployment.api.call("DELETE", `/v1/capsules/${capsule?.id}`)).status).toBe(204);
    expect(await listed()).toEqual([]);
  });
});

describe("an agent that is killed while it destroys finishes that when it starts again", () => {
  test.each(points(destroySteps))("%s", async (fault) => {
    await restartAgent(fault);
    const { id } = await deployment.api.capsule(new AsyncDisposableStack());
    const destroying = deployment.api.call("DELETE", `/v1/capsules/${id}`);
    await deployment.agentEnded();
    expect((await destroying).status).toBe(503);
    await restartAgent();

    const state = async () =>
      ((await (await deployment.api.call("GET", `/v1/capsules/${id}`)).json()) as Capsule).state;
    await expect.poll(state, poll).toBe("stopped");
    await expect.poll(() => heldOnHost(deployment), poll).toEqual(idle);
  });
});
