import { newId, toConnectError, WrennError } from "@wrenn/contracts";
import type { Capsule, ErrorBody, ExecResult } from "@wrenn/contracts/rest";
import { sql } from "kysely";
import { expect, test } from "vitest";
import { settleAbandoned } from "../reports/settler.ts";
import { shown, type TestControlPlane } from "../testing/control-plane.ts";
import { LifecycleHost } from "../testing/lifecycle-host.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";

let cp: TestControlPlane;
let onHost: LifecycleHost;
let id: string;
withControlPlane(async (started) => {
  cp = started;
  onHost = new LifecycleHost();
  cp.agent.answers = onHost.answers;
  id = (await cp.request("POST", "/v1/capsules")).json<Capsule>().id;
});

const post = (path: string, key: string, payload: object = {}) =>
  cp.inject({
    method: "POST",
    url: `/v1/capsules/${id}/${path}`,
    headers: { "x-api-key": cp.apiKey, "idempotency-key": key },
    payload,
  });
const times = (kind: string) => onHost.done.filter((step) => step.startsWith(kind)).length;
/** Takes the answer of a request away, and its control plane with it. */
const interrupt = (key: string) =>
  cp.database.kysely
    .updateTable("idempotency_keys")
    .set({ status: null, body: null, operated_by: newId("controlPlane") })
    .where("key", "=", key)
    .execute();

test.for([
  ["pause", "paused"],
  ["hibernate", "hibernated"],
  ["resume", "running"],
] as const)("%s is done once with a key, although its control plane has died", async ([kind, state]) => {
  if (kind !== "pause") await cp.request("POST", `/v1/capsules/${id}/pause`);
  const before = onHost.done.length;
  const first = await post(kind, "k");
  expect(first.statusCode).toBe(200);
  expect((await post(kind, "k")).body).toBe(first.body);
  await interrupt("k");
  const taken = await post(kind, "k");
  expect(taken.statusCode).toBe(200);
  expect(taken.json()).toMatchObject({ id, state });
  expect(onHost.done.length).toBe(before + 1);
  // Without the key, or with another, it is what it is.
  expect((await post(kind, "other")).json<ErrorBody>().error.code).toBe("invalid_state");
});

test("a command that is still being done is not given again, nor is that answer kept", async () => {
  await cp.agent[Symbol.asyncDispose]();
  expect((await post("pause", "k")).statusCode).toBe(503);
  const response = await post("pause", "k");
  expect(response.json()).toMatchObject({ error: { code: "request_in_progress" } });
  expect(response.headers["retry-after"]).toBeDefined();
  await sql`update capsules set state = 'paused', operated_by = null`.execute(cp.database.kysely);
  expect((await post("pause", "k")).json()).toMatchObject({ state: "paused" });
});

test("a fork is done once with a key, and finds its copies", async () => {
  const first = await post("fork", "k", { count: 3 });
  expect(first.statusCode).toBe(201);
  await interrupt("k");
  const taken = await post("fork", "k", { count: 3 });
  expect(taken.statusCode).toBe(201);
  const ids = (copies: Capsule[]) => copies.map((copy) => copy.id);
  expect(ids(taken.json())).toEqual(ids(first.json()));
  expect(times("fork")).toBe(1);
  expect((await cp.request("GET", "/v1/capsules")).json<Capsule[]>()).toHaveLength(4);
});

test("a fork that has failed makes other copies", async () => {
  onHost.refusals.set("fork", "host_memory_full");
  expect((await post("fork", "k", { count: 2 })).statusCode).toBe(503);
  onHost.refusals.clear();
  const second = await post("fork", "k", { count: 2 });
  expect(second.statusCode).toBe(201);
  for (const copy of second.json<Capsule[]>()) expect(copy.state).toBe("running");
});

test("a fork whose control plane died on the way is waited for, finished by the settler, and then found", async () => {
  const first = await post("fork", "k", { count: 2 });
  await interrupt("k");
  await sql`update capsules set updated_at = now() - interval '16 seconds', operated_by = 'nobody',
    state = case when id = ${id} then 'snapshotting' else 'starting' end,
    started_at = case when id = ${id} then started_at end`.execute(cp.database.kysely);
  expect((await post("fork", "k", { count: 2 })).json<ErrorBody>().error.code).toBe("request_in_progress");
  await settleAbandoned(cp.settling);
  const found = await post("fork", "k", { count: 2 });
  expect(found.statusCode).toBe(201);
  const ids = (copies: Capsule[]) => copies.map((copy) => copy.id);
  expect(ids(found.json())).toEqual(ids(first.json()));
  expect(await shown(cp, id)).toMatchObject({ state: "running" });
});

test("a command in a capsule is run once with a key, whatever it writes, and never twice", async () => {
  let runs = 0;
  cp.agent.answers = {
    ...onHost.answers,
    async *exec() {
      runs += 1;
      yield { event: { case: "started" as const, value: { pid: 7 } } };
      yield { event: { case: "stdout" as const, value: Buffer.from("a\0b\u{1F600}\n") } };
      yield { event: { case: "ended" as const, value: { exitCode: 3, signal: 0 } } };
    },
  };
  const first = await post("exec", "k", { cmd: "true" });
  expect(first.json<ExecResult>()).toMatchObject({ stdout: "a\0b\u{1F600}\n", exit_code: 3 });
  const again = await post("exec", "k", { cmd: "true" });
  expect(again.body).toBe(first.body);
  expect(again.headers["idempotency-replayed"]).toBe("true");
  expect((await post("exec", "k", { cmd: "false" })).statusCode).toBe(422);
  await interrupt("k");
  const unknown = await post("exec", "k", { cmd: "true" });
  expect(unknown.json()).toMatchObject({ error: { code: "conflict", message: /not known/ } });
  expect(runs).toBe(1);
});

test("a command that ran out of its time has done so: it is not run again", async () => {
  let runs = 0;
  cp.agent.answers = {
    ...onHost.answers,
    // biome-ignore lint/correctness/useYield: it fails before it has something to say
    async *exec() {
      runs += 1;
      throw toConnectError(new WrennError("deadline_exceeded", "it took too long"));
    },
  };
  expect((await post("exec", "k", { cmd: "sleep" })).statusCode).toBe(504);
  expect((await post("exec", "k", { cmd: "sleep" })).statusCode).toBe(504);
  expect(runs).toBe(1);
});
