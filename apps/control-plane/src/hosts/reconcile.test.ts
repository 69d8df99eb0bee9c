import { newId } from "@wrenn/contracts";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import type { CapsuleRow } from "../database/schema.ts";
import { shown, startTestControlPlane, type TestControlPlane } from "../testing/control-plane.ts";
import { startTestPostgres, type TestPostgres } from "../testing/postgres.ts";
import { reconcileHost } from "./reconcile.ts";

interface Reported {
  id: string;
  state: string;
  generation?: bigint;
  reason?: string;
}

let postgres: TestPostgres;
let cp: TestControlPlane;
let destroyed: string[];
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres[Symbol.asyncDispose]());
beforeEach(async () => {
  cp = await startTestControlPlane(postgres);
  destroyed = [];
  return () => cp[Symbol.asyncDispose]();
});

/** Reconciles with a host that reports this; `meanwhile` happens while it is asked. */
async function reconcile(capsules: Reported[], meanwhile = async () => {}): Promise<void> {
  cp.agent.answers = {
    listCapsules: async () => {
      await meanwhile();
      return { epoch: "1", capsules };
    },
    destroyCapsule: ({ capsuleId }) => {
      destroyed.push(capsuleId);
      return {};
    },
  };
  // As a control plane that started just now: what the rows say was under way is nobody's.
  const startedAt = new Date(Date.now() + 1000);
  await reconcileHost(cp.reconciling.hosts.pick(), { ...cp.reconciling, startedAt });
}

const store = () => cp.reconciling.store;

async function row(state: "pending" | "starting"): Promise<CapsuleRow> {
  const size = { vcpus: 1, memoryMib: 512 };
  const capsule = { id: newId("capsule"), teamId: cp.teamId, template: "minimal", timeoutSec: 0, ...size };
  const pending = await store().insert(capsule);
  if (state === "pending") return pending;
  return (await store().move(pending, "starting", { hostId: cp.hostId })) ?? pending;
}

test("what both know to run stays as it is", async () => {
  const id = await cp.runningCapsule();
  await reconcile([{ id, state: "running" }]);
  expect(await shown(cp, id)).toMatchObject({ status: "running" });
  expect(destroyed).toEqual([]);
});

test("a running capsule that its host does not have is lost, one that died says of what", async () => {
  const [gone, died] = [await cp.runningCapsule(), await cp.runningCapsule()];
  await reconcile([{ id: died, state: "error", reason: "vmm_exited" }]);
  expect(await shown(cp, gone)).toMatchObject({ status: "error", reason: "lost" });
  expect(await shown(cp, died)).toMatchObject({ status: "error", reason: "vmm_exited" });
  await reconcile([{ id: died, state: "error" }]);
  expect(destroyed).toEqual([died]);
});

test("a capsule that begins to run while the host is asked is left alone", async () => {
  let id = "";
  await reconcile([], async () => {
    id = await cp.runningCapsule();
  });
  expect(await shown(cp, id)).toMatchObject({ status: "running" });
});

test("a capsule that is destroyed while the host is asked is not lost", async () => {
  const id = await cp.runningCapsule();
  const seen = (await store().findMany([id]))[0];
  await reconcile([], async () => {
    if (seen) await store().move(seen, "stopping", { generation: seen.generation + 1n });
  });
  expect(await shown(cp, id)).toMatchObject({ state: "stopping" });
});

test("an interrupted create runs if the host made it, waits if it is at it, and else has failed", async () => {
  const [made, making, never, unplaced] = [
    await row("starting"),
    await row("starting"),
    await row("starting"),
    await row("pending"),
  ];
  await reconcile([
    { id: made.id, state: "running" },
    { id: making.id, state: "starting" },
  ]);
  expect(await shown(cp, made.id)).toMatchObject({ status: "running", metadata: { agent_version: "9" } });
  expect(await shown(cp, making.id)).toMatchObject({ status: "starting" });
  for (const { id } of [never, unplaced]) {
    expect(await shown(cp, id)).toMatchObject({ status: "error", reason: "interrupted" });
  }
  expect(destroyed).toEqual([]);
});

test("a create of this process is its own", async () => {
  const starting = await row("starting");
  const { promise, resolve } = Promise.withResolvers<void>();
  const operation = cp.reconciling.operations.run(starting.id, () => promise);
  await reconcile([]);
  expect(await shown(cp, starting.id)).toMatchObject({ status: "starting" });
  resolve();
  await operation;
});

test("a stop that was not finished is", async () => {
  const id = await cp.runningCapsule();
  const seen = (await store().findMany([id]))[0];
  if (seen) await store().move(seen, "stopping", { generation: 2n });
  await reconcile([{ id, state: "running" }]);
  expect(destroyed).toEqual([id]);
  expect(await shown(cp, id)).toMatchObject({ status: "stopped" });
});

test("what the host has and should not is destroyed, what has just been made is not", async () => {
  const failed = await cp.runningCapsule();
  const seen = (await store().findMany([failed]))[0];
  if (seen) await store().move(seen, "error", { reason: "lost" });
  const unknown = newId("capsule");
  const reported: Reported[] = [
    { id: failed, state: "running" },
    { id: unknown, state: "running" },
  ];
  let fresh = "";
  await reconcile(reported, async () => {
    fresh = await cp.runningCapsule();
    reported.push({ id: fresh, state: "running" });
  });
  expect(destroyed.sort()).toEqual([failed, unknown].sort());
  expect(await shown(cp, fresh)).toMatchObject({ status: "running" });
});

test("a host that cannot be asked changes nothing", async () => {
  const id = await cp.runningCapsule();
  const starting = await row("starting");
  await cp.agent[Symbol.asyncDispose]();
  await expect(reconcile([])).rejects.toMatchObject({ code: "host_unavailable" });
  expect(await shown(cp, id)).toMatchObject({ status: "running" });
  expect(await shown(cp, starting.id)).toMatchObject({ status: "starting" });
});
