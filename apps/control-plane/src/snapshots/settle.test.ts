import { newId } from "@wrenn/contracts";
import type { Capsule, Template } from "@wrenn/contracts/rest";
import { sql } from "kysely";
import { expect, test } from "vitest";
import type { SnapshotRow } from "../database/schema.ts";
import { noteAlive } from "../replicas/store.ts";
import type { TestControlPlane } from "../testing/control-plane.ts";
import { LifecycleHost } from "../testing/lifecycle-host.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";
import { compareSnapshots, settleAbandonedSnapshots } from "./settle.ts";
import { SnapshotStore } from "./store.ts";

let cp: TestControlPlane;
let onHost: LifecycleHost;
let id: string;
withControlPlane(async (started) => {
  cp = started;
  onHost = new LifecycleHost();
  cp.agent.answers = onHost.answers;
  id = (await cp.request("POST", "/v1/capsules")).json<Capsule>().id;
});

const take = (name: string) => cp.request("POST", "/v1/snapshots", { sandbox_id: id, name });
const names = async () =>
  (await cp.request("GET", "/v1/snapshots?type=snapshot")).json<Template[]>().map(({ name }) => name);
const rows = async () => (await cp.database.kysely.selectFrom("snapshots").selectAll().execute()).length;
const settle = () => settleAbandonedSnapshots(cp.settlingSnapshots);
const age = () =>
  sql`update snapshots set updated_at = now() - interval '16 seconds'`.execute(cp.database.kysely);

/** A row as some control plane left it, a while ago. */
async function left(name: string, by = newId("controlPlane")): Promise<SnapshotRow> {
  const store = new SnapshotStore(cp.database.kysely, by);
  const size = { template: "minimal", vcpus: 1, memoryMib: 512, diskMib: null };
  const at = { id: newId("snapshot"), teamId: cp.teamId, hostId: cp.hostId, capsuleId: id };
  const row = await store.insert({ ...at, name, ...size }, true);
  await age();
  return row;
}

test("one of a dead control plane is ready if the host has it, and else its name is free", async () => {
  const made = await left("made");
  const never = await left("never");
  onHost.snapshots.set(made.id, id);
  await settle();
  expect(await names()).toEqual(["made"]);
  expect((await take("never")).statusCode).toBe(201);
  await age();
  await settle();
  expect(await cp.settlingSnapshots.snapshots.findById(never.id)).toBeUndefined();
});

test("one that was to replace another does so", async () => {
  await take("mine");
  const [old = ""] = onHost.snapshots.keys();
  const newer = await left("mine");
  onHost.snapshots.set(newer.id, id);
  await settle();
  await age();
  await settle();
  expect([...onHost.snapshots.keys()]).toEqual([newer.id]);
  expect(await cp.settlingSnapshots.snapshots.findById(old)).toBeUndefined();
  expect(await names()).toEqual(["mine"]);
});

test("waits while its capsule is at it, and while its control plane lives", async () => {
  const living = newId("controlPlane");
  await noteAlive(cp.database.kysely, living);
  await left("theirs", living);
  const busy = await left("busy");
  await sql`update capsules set state = 'snapshotting'`.execute(cp.database.kysely);
  await settle();
  onHost.snapshots.set(busy.id, id);
  await settle();
  expect(await names()).toEqual([]);
  expect(await rows()).toBe(2);
  await sql`update capsules set state = 'running'`.execute(cp.database.kysely);
  await settle();
  expect(await names()).toEqual(["busy"]);
});

test("a delete that could not reach its host is finished when that is back", async () => {
  await take("mine");
  onHost.refusals.set("delete", "agent_error");
  await cp.request("DELETE", "/v1/snapshots/mine");
  await settle();
  expect(await rows()).toBe(1);
  await age();
  await settle();
  expect(await rows()).toBe(1);
  onHost.refusals.clear();
  await settle();
  expect(await rows()).toBe(0);
  expect(onHost.snapshots.size).toBe(0);
});

test("what a host has and nobody knows is deleted, what it has lost is forgotten", async () => {
  await take("kept");
  await take("lost");
  const [kept = "", lost = ""] = onHost.snapshots.keys();
  const orphan = newId("snapshot");
  onHost.snapshots.delete(lost);
  onHost.snapshots.set(orphan, id);
  await left("making");
  await cp.host.told([onHost.reported(id)]);
  await expect.poll(() => [...onHost.snapshots.keys()]).toEqual([kept]);
  expect(await names()).toEqual(["kept"]);
  expect(await rows()).toBe(2);
});

test("a host that cannot be asked loses nothing", async () => {
  await take("mine");
  await cp.agent[Symbol.asyncDispose]();
  const host = await cp.settlingSnapshots.hosts.get(cp.hostId);
  await expect(compareSnapshots(host, cp.settlingSnapshots)).rejects.toThrow(/cannot be reached/);
  await left("making");
  await settle();
  expect(await names()).toEqual(["mine"]);
  expect(await rows()).toBe(2);
});
