import { newId } from "@wrenn/contracts";
import { sql } from "kysely";
import { expect, test } from "vitest";
import { CapsuleStore } from "../capsules/store.ts";
import type { CapsuleRow } from "../database/schema.ts";
import { noteAlive } from "../replicas/store.ts";
import { shown, type TestControlPlane } from "../testing/control-plane.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";
import { settleAbandoned } from "./settler.ts";

let cp: TestControlPlane;
let dead: string;
let onHost: { id: string; state: string; generation?: bigint; revision?: bigint; reason?: string }[];
let destroyed: string[];
withControlPlane((started) => {
  cp = started;
  dead = newId("controlPlane");
  onHost = [];
  destroyed = [];
  cp.agent.answers = {
    listCapsules: () => ({ capsules: onHost }),
    destroyCapsule: ({ capsuleId }) => {
      destroyed.push(capsuleId);
      return {};
    },
  };
});

/** A row as some control plane left it, a while ago. */
async function left(state: "pending" | "starting" | "stopping", by = dead): Promise<CapsuleRow> {
  const store = new CapsuleStore(cp.database.kysely, by);
  const id = newId("capsule");
  const size = { vcpus: 1, memoryMib: 512 };
  let row = await store.insert({ id, teamId: cp.teamId, template: "minimal", timeoutSec: 0, ...size });
  if (state !== "pending") row = (await store.move(row, "starting", { hostId: cp.hostId })) ?? row;
  if (state === "stopping") row = (await store.move(row, "stopping", { generation: 2n })) ?? row;
  await sql`update capsules set updated_at = now() - interval '16 seconds' where id = ${id}`.execute(
    cp.database.kysely,
  );
  return row;
}

test("a create of a dead control plane runs if the host made it, waits if it is at it, and else has failed", async () => {
  const [made, making, failed, never, unplaced] = [
    await left("starting"),
    await left("starting"),
    await left("starting"),
    await left("starting"),
    await left("pending"),
  ];
  onHost = [
    { id: made.id, state: "running", generation: 1n, revision: 3n },
    { id: making.id, state: "starting", generation: 1n },
    { id: failed.id, state: "error", generation: 1n, reason: "host_disk_full" },
  ];
  await settleAbandoned(cp.settling);
  expect(await shown(cp, made.id)).toMatchObject({ status: "running", metadata: { agent_version: "9" } });
  expect(await shown(cp, making.id)).toMatchObject({ status: "starting" });
  expect(await shown(cp, failed.id)).toMatchObject({ status: "error", reason: "host_disk_full" });
  for (const { id } of [never, unplaced]) {
    expect(await shown(cp, id)).toMatchObject({ status: "error", reason: "interrupted" });
  }
  expect(destroyed).toEqual([]);
});

test("a destroy of a dead control plane is finished", async () => {
  const { id } = await left("stopping");
  await settleAbandoned(cp.settling);
  expect(destroyed).toEqual([id]);
  expect(await shown(cp, id)).toMatchObject({ status: "stopped", reason: "destroyed" });
});

test("what a control plane that lives has begun is its own", async () => {
  const other = newId("controlPlane");
  await noteAlive(cp.database.kysely, other);
  const rows = [await left("starting", other), await left("stopping", other), await left("pending", other)];
  await settleAbandoned(cp.settling);
  for (const { id, state } of rows) expect(await shown(cp, id)).toMatchObject({ state });

  await sql`update control_planes set seen_at = now() - interval '13 seconds' where id = ${other}`.execute(
    cp.database.kysely,
  );
  await settleAbandoned(cp.settling);
  for (const { id, state } of rows) expect(await shown(cp, id)).not.toMatchObject({ state });
});

test("a control plane that ends says so: what it left is taken over at once", async () => {
  const replica = await cp.newReplica();
  const id = await cp.runningCapsule();
  cp.agent.answers.destroyCapsule = () => {
    throw new Error("not now");
  };
  const headers = { "x-api-key": cp.apiKey };
  expect((await replica.inject({ method: "DELETE", url: `/v1/capsules/${id}`, headers })).statusCode).toBe(
    502,
  );
  await sql`update capsules set updated_at = now() - interval '16 seconds'`.execute(cp.database.kysely);
  cp.agent.answers.destroyCapsule = () => ({});
  await settleAbandoned(cp.settling);
  expect(await shown(cp, id)).toMatchObject({ state: "stopping" });
  await replica[Symbol.asyncDispose]();
  await settleAbandoned(cp.settling);
  expect(await shown(cp, id)).toMatchObject({ state: "stopped" });
});

test("a destroy of our own that could not reach its host is tried again, one under way is not", async () => {
  const id = await cp.runningCapsule();
  cp.agent.answers.destroyCapsule = () => {
    throw new Error("not now");
  };
  expect((await cp.request("DELETE", `/v1/capsules/${id}`)).statusCode).toBe(502);
  await sql`update capsules set updated_at = now() - interval '16 seconds'`.execute(cp.database.kysely);
  const { promise, resolve } = Promise.withResolvers<void>();
  const operation = cp.settling.operations.run(id, () => promise);
  cp.agent.answers.destroyCapsule = () => ({});
  await settleAbandoned(cp.settling);
  expect(await shown(cp, id)).toMatchObject({ state: "stopping" });
  resolve();
  await operation;
  await settleAbandoned(cp.settling);
  expect(await shown(cp, id)).toMatchObject({ state: "stopped" });
});

test("a host that is silent, or cannot be asked, changes nothing and delays no other", async () => {
  const silent = await cp.newHost();
  const here = await left("stopping");
  const there = await left("stopping");
  const { kysely } = cp.database;
  await sql`update capsules set host_id = ${silent.id} where id = ${there.id}`.execute(kysely);
  await silent.agent[Symbol.asyncDispose]();
  await settleAbandoned(cp.settling);
  expect(await shown(cp, here.id)).toMatchObject({ state: "stopped" });
  expect(await shown(cp, there.id)).toMatchObject({ state: "stopping" });
  await sql`update hosts set last_report_at = null where id = ${silent.id}`.execute(kysely);
  expect(await cp.settling.store.abandoned()).toEqual([]);
});

test("several control planes that settle at once do it once", async () => {
  const replicas = [cp, await cp.newReplica(), await cp.newReplica()];
  const rows = [await left("starting"), await left("stopping")];
  await Promise.all(replicas.map(({ settling }) => settleAbandoned(settling)));
  expect(await Promise.all(rows.map(async ({ id }) => (await shown(cp, id)).state))).toEqual([
    "error",
    "stopped",
  ]);
});
