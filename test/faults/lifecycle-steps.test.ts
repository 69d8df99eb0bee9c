import type { Capsule, Template } from "@wrenn/contracts/rest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Deployment } from "../support/deployment.ts";
import { heldOnHost, startIdle } from "../support/host-state.ts";

/**
 * Points at which the agent is killed, before or after it notes a step. These are the ones next to where an operation is
 * decided, or where it holds most; with `WRENN_TEST_STEPS=all`, as the suite `faults-long` has it, it is every one that
 * there is.
 */
const points = {
  pause: {
    steps: ["pause", "paused", ...releases("machine", "run_dir", "slot", "disk", "source")],
    chosen: ["after:pause", "before:paused", "after:release:disk"],
  },
  resume: {
    steps: ["resume", ...restores(), "running", "release:snapshot"],
    chosen: ["after:machine", "before:running", "after:running"],
  },
  snapshot: {
    steps: ["snapshot", "disk", "went_on"],
    chosen: ["before:went_on"],
  },
  fork: {
    steps: ["snapshot", "disk", "went_on", "create", ...restores(), "forked", "running"],
    chosen: ["after:claim", "after:forked"],
  },
  hibernate: {
    steps: ["hibernate", "hibernated", "release:snapshot"],
    chosen: ["before:hibernated", "after:hibernated"],
  },
  wake: {
    steps: ["resume", ...restores(), "running", "release:snapshot", "release:archive"],
    chosen: ["after:claim", "after:running"],
  },
} as const;

function restores(): string[] {
  return ["source", "run_dir", "disk", "slot", "machine", "started", "claim"];
}

function releases(...holdings: string[]): string[] {
  return holdings.map((holding) => `release:${holding}`);
}

function pointsOf({ steps, chosen }: { steps: readonly string[]; chosen: readonly string[] }): string[] {
  if (process.env.WRENN_TEST_STEPS !== "all") return [...chosen];
  return steps.flatMap((step) => [`before:${step}`, `after:${step}`]);
}

const poll = { timeout: 60_000, interval: 50 };

const stack = new AsyncDisposableStack();
let deployment: Deployment;
let idle: readonly string[];
/** The capsule that everything is done to. */
let id: string;
/** What is in its memory and on its disk. */
let written = 0;

beforeAll(async () => {
  ({ deployment, idle } = await startIdle(stack));
  ({ id } = await deployment.api.capsule(new AsyncDisposableStack()));
});
afterAll(() => stack.disposeAsync());

async function call(method: string, path: string, body?: object): Promise<Response> {
  return await deployment.api.call(method, path, body);
}

async function shown(capsule = id): Promise<Capsule> {
  return (await (await call("GET", `/v1/capsules/${capsule}`)).json()) as Capsule;
}

/** Waits until nothing is being done to a capsule, here or there. */
async function decided(capsule = id): Promise<string> {
  const over = ["running", "paused", "hibernated", "error", "stopped"];
  await expect.poll(async () => over.includes((await shown(capsule)).state ?? ""), poll).toBe(true);
  return (await shown(capsule)).state ?? "";
}

/** Brings the capsule to where an operation begins. */
async function bring(to: "running" | "paused" | "hibernated"): Promise<void> {
  const state = await decided();
  if (state === to) return;
  if (to === "running" || state === "hibernated")
    await expectOk(await call("POST", `/v1/capsules/${id}/resume`));
  if (to === "paused" || (to === "hibernated" && state !== "paused")) {
    await expectOk(await call("POST", `/v1/capsules/${id}/pause`));
  }
  if (to === "hibernated") await expectOk(await call("POST", `/v1/capsules/${id}/hibernate`));
}

async function snapshotNames(): Promise<string[]> {
  const templates = (await (await call("GET", "/v1/snapshots?type=snapshot")).json()) as Template[];
  return templates.map(({ name }) => name);
}

async function expectOk(response: Response): Promise<void> {
  if (response.status >= 300) throw new Error(`${response.status}: ${await response.text()}`);
}

async function write(): Promise<void> {
  await bring("running");
  written += 1;
  await deployment.api.shell(id, `echo ${written} >/dev/shm/x; echo ${written} >/root/x; sync`);
}

async function expectWritten(capsule = id): Promise<void> {
  const { stdout } = await deployment.api.shell(capsule, "cat /dev/shm/x /root/x");
  expect(stdout).toBe(`${written}\n${written}\n`);
}

/** Does something while the agent is to end at one point, and starts the agent again. */
async function cutOff(fault: string, operation: () => Promise<Response>): Promise<Response> {
  await deployment.armAgent(fault);
  const answer = operation();
  await deployment.agentEnded();
  await deployment.startAgent();
  return await answer;
}

/** Nothing is there but what the capsule is: its journal; and what it stands on, or has. */
async function expectNothingElse(): Promise<void> {
  const others = async () =>
    (await heldOnHost(deployment)).filter(
      (name) => !name.startsWith("layers/") && !name.includes(id) && !name.startsWith("slot "),
    );
  // The machine itself is named by its process.
  await expect
    .poll(async () => (await others()).filter((name) => !name.startsWith("process ")), poll)
    .toEqual([]);
}

describe("an agent that is killed while it pauses", () => {
  test.each(pointsOf(points.pause))(
    "%s: the capsule runs on or is paused, and has what it had",
    async (fault) => {
      await write();
      await cutOff(fault, () => call("POST", `/v1/capsules/${id}/pause`));
      expect(["running", "paused"]).toContain(await decided());
      await bring("running");
      await expectWritten();
      await expectNothingElse();
    },
  );
});

describe("an agent that is killed while it resumes", () => {
  test.each(pointsOf(points.resume))(
    "%s: the capsule is paused or runs, and has what it had",
    async (fault) => {
      await write();
      await bring("paused");
      await cutOff(fault, () => call("POST", `/v1/capsules/${id}/resume`));
      expect(["running", "paused"]).toContain(await decided());
      await bring("running");
      await expectWritten();
      await expectNothingElse();
    },
  );
});

describe("an agent that is killed while it takes a snapshot", () => {
  test.each(pointsOf(points.snapshot))(
    "%s: the capsule runs on, and the snapshot is whole or not there",
    async (fault) => {
      await write();
      const name = `steps-${fault.replace(":", "-").replaceAll("_", "-")}`;
      await cutOff(fault, () => call("POST", "/v1/snapshots", { sandbox_id: id, name }));
      expect(await decided()).toBe("running");
      await expectWritten();
      // It is there when it was committed, whatever became of the agent that was to say so.
      if (fault.endsWith("went_on")) {
        await expect.poll(snapshotNames, poll).toContain(name);
        const { id: clone } = await deployment.api.capsule(new AsyncDisposableStack(), { template: name });
        await expectWritten(clone);
        await call("DELETE", `/v1/capsules/${clone}`);
        await expectOk(await call("DELETE", `/v1/snapshots/${name}?force=true`));
      }
      expect(await snapshotNames()).not.toContain(name);
      await expectNothingElse();
    },
  );
});

describe("an agent that is killed while it forks", () => {
  test.each(pointsOf(points.fork))(
    "%s: all of the copies are there or none, and the source runs on",
    async (fault) => {
      await write();
      await cutOff(fault, () => call("POST", `/v1/capsules/${id}/fork`, { count: 2 }));
      expect(await decided()).toBe("running");
      await expectWritten();
      const copies = ((await (await call("GET", "/v1/capsules")).json()) as Capsule[]).filter(
        (capsule) => capsule.id !== id,
      );
      const states = await Promise.all(copies.map((copy) => decided(copy.id)));
      expect(new Set(states.map((state) => state === "running")).size).toBeLessThan(2);
      for (const [i, copy] of copies.entries()) {
        if (states[i] === "running") await expectWritten(copy.id);
        expect((await call("DELETE", `/v1/capsules/${copy.id}`)).status).toBe(204);
      }
      await expectNothingElse();
    },
  );
});

describe("an agent that is killed while it hibernates", () => {
  test.each(pointsOf(points.hibernate))(
    "%s: the capsule is paused or hibernated, and has what it had",
    async (fault) => {
      await write();
      await bring("paused");
      await cutOff(fault, () => call("POST", `/v1/capsules/${id}/hibernate`));
      expect(["paused", "hibernated"]).toContain(await decided());
      await bring("running");
      await expectWritten();
      await expectNothingElse();
    },
  );
});

describe("an agent that is killed while it resumes from the archive", () => {
  test.each(pointsOf(points.wake))(
    "%s: the capsule is hibernated or runs, and has what it had",
    async (fault) => {
      await write();
      await bring("hibernated");
      await cutOff(fault, () => call("POST", `/v1/capsules/${id}/resume`));
      expect(["running", "hibernated"]).toContain(await decided());
      await bring("running");
      await expectWritten();
      await expectNothingElse();
    },
  );
});

test("when the capsule is destroyed, nothing of all that is left", async () => {
  expect((await call("DELETE", `/v1/capsules/${id}`)).status).toBe(204);
  await expect.poll(() => heldOnHost(deployment), poll).toEqual(idle);
});
