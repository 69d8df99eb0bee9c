import { Code, ConnectError } from "@connectrpc/connect";
import { newId } from "@wrenn/contracts";
import type { ForkCapsuleRequest } from "@wrenn/contracts/host";
import type { Capsule } from "@wrenn/contracts/rest";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { settleAbandoned } from "../reports/settler.ts";
import { shown, type TestControlPlane } from "../testing/control-plane.ts";
import { LifecycleHost } from "../testing/lifecycle-host.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";
import { CapsuleStore } from "./store.ts";

let cp: TestControlPlane;
let onHost: LifecycleHost;
let id: string;
withControlPlane(async (started) => {
  cp = started;
  onHost = new LifecycleHost();
  cp.agent.answers = onHost.answers;
  const settings = { timeout_sec: 60, on_timeout: "destroy", auto_resume: true, metadata: { of: "mine" } };
  id = (await cp.request("POST", "/v1/capsules", settings)).json<Capsule>().id;
});

const fork = (body?: object) => cp.request("POST", `/v1/capsules/${id}/fork`, body);
const list = async () => (await cp.request("GET", "/v1/capsules")).json<Capsule[]>();
const states = async () => (await list()).map(({ state }) => state).sort();
const age = () =>
  sql`update capsules set updated_at = now() - interval '16 seconds'`.execute(cp.database.kysely);

describe("a fork", () => {
  test("answers 201 with copies that run, as their source does, and are known by what they are of", async () => {
    const requests: ForkCapsuleRequest[] = [];
    cp.agent.answers = {
      ...onHost.answers,
      forkCapsule: (request, context) => {
        requests.push(request);
        return onHost.answers.forkCapsule?.(request, context) ?? {};
      },
    };
    const response = await fork({ count: 3 });
    expect(response.statusCode).toBe(201);
    const copies = response.json<Capsule[]>();
    expect(copies).toHaveLength(3);
    const inherited = { timeout_sec: 60, on_timeout: "destroy", auto_resume: true, metadata: { of: "mine" } };
    for (const copy of copies) {
      expect(copy).toMatchObject({ status: "running", template: "minimal", vcpus: 1, ...inherited });
      expect(await shown(cp, copy.id)).toEqual(copy);
    }
    expect(await shown(cp, id)).toMatchObject({ state: "running" });
    const timeRules = { idleTimeoutSec: 60, maxRunSec: 0, action: "destroy" };
    expect(requests).toMatchObject([
      { capsuleId: id, generation: 2n, children: copies.map((copy) => ({ capsuleId: copy.id, timeRules })) },
    ]);
    const rows = await cp.settling.store.findMany(copies.map((copy) => copy.id));
    expect(rows.map((row) => [row.forked_from, row.host_id])).toEqual(Array(3).fill([id, cp.hostId]));
  });

  test("makes one copy without a body, and gives it metadata of its own", async () => {
    expect((await fork()).json()).toHaveLength(1);
    const [copy] = (await fork({ metadata: { of: "yours" } })).json<Capsule[]>();
    expect(copy?.metadata).toMatchObject({ of: "yours" });
  });

  test("of a paused capsule leaves that paused", async () => {
    await cp.request("POST", `/v1/capsules/${id}/pause`);
    expect((await fork({ count: 2 })).statusCode).toBe(201);
    expect(await states()).toEqual(["paused", "running", "running"]);
  });

  test("is refused with what is wrong, and makes nothing", async () => {
    for (const body of [{ count: 0 }, { count: 33 }, { count: "2" }, { metadata: { vmm: "x" } }]) {
      expect((await fork(body)).json(), JSON.stringify(body)).toMatchObject({
        error: { code: "invalid_request", field: expect.stringMatching(/count|metadata.vmm/) },
      });
    }
    for (const code of ["host_full", "host_memory_full", "host_disk_full"] as const) {
      onHost.refusals.set("fork", code);
      expect((await fork({ count: 4 })).json()).toMatchObject({ error: { code } });
      expect(await states()).toEqual(["running"]);
    }
    expect(onHost.capsules.size).toBe(1);
  });

  test("that is overtaken by the destroy of its capsule leaves no copy", async () => {
    onHost.delayMs = 50;
    const forking = fork({ count: 2 });
    await expect.poll(states).toEqual(["snapshotting", "starting", "starting"]);
    expect((await cp.request("DELETE", `/v1/capsules/${id}`)).statusCode).toBe(204);
    expect((await forking).json()).toMatchObject({ error: { code: "invalid_state" } });
    expect(await states()).toEqual([]);
    await cp.host.told([...onHost.capsules.keys()].map((copy) => onHost.reported(copy)));
    await cp.background[Symbol.asyncDispose]();
    expect(onHost.capsules.size).toBe(0);
  });

  test("one of whose copies is destroyed meanwhile makes the others", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    onHost.gate = promise;
    const forking = fork({ count: 2 });
    await expect.poll(states).toEqual(["snapshotting", "starting", "starting"]);
    const doomed = (await list()).find((capsule) => capsule.state === "starting")?.id ?? "";
    expect((await cp.request("DELETE", `/v1/capsules/${doomed}`)).statusCode).toBe(204);
    resolve();
    const made = (await forking).json<Capsule[]>();
    expect(made.find((copy) => copy.id !== doomed)).toMatchObject({ state: "running" });
    expect(await shown(cp, doomed)).toMatchObject({ state: "stopped" });
  });
});

describe("a fork that was interrupted", () => {
  test("because the host did not answer, is finished when it does", async () => {
    cp.agent.answers = {
      ...onHost.answers,
      forkCapsule: () => {
        throw new ConnectError("gone", Code.Unavailable);
      },
    };
    expect((await fork({ count: 2 })).statusCode).toBe(503);
    expect(await states()).toEqual(["snapshotting", "starting", "starting"]);
    cp.agent.answers = onHost.answers;
    await age();
    await settleAbandoned(cp.settling);
    expect(await states()).toEqual(["running", "running", "running"]);
    expect(onHost.capsules.size).toBe(3);
  });

  test("by the death of its control plane after the host was done, is settled as it is", async () => {
    const dead = new CapsuleStore(cp.database.kysely, newId("controlPlane"));
    const [row] = await dead.findMany([id]);
    if (!row) throw new Error("no row");
    const size = { vcpus: 1, memoryMib: 512, timeoutSec: 0, template: "minimal", teamId: cp.teamId };
    const begun = await dead.fork(row, [{ id: newId("capsule"), forkedFrom: id, ...size }]);
    const children = begun?.copies.map((copy) => ({ capsuleId: copy.id, generation: copy.generation }));
    await onHost.answers.forkCapsule?.(
      { capsuleId: id, generation: 2n, children } as never,
      undefined as never,
    );
    await age();
    await settleAbandoned(cp.settling);
    expect(await states()).toEqual(["running", "running"]);
    expect(onHost.capsules.size).toBe(2);
  });

  test("after its capsule has gone on, has no copies that the host does not have", async () => {
    const dead = new CapsuleStore(cp.database.kysely, newId("controlPlane"));
    const size = { vcpus: 1, memoryMib: 512, timeoutSec: 0, template: "minimal", teamId: cp.teamId };
    const pending = await dead.insert({ id: newId("capsule"), forkedFrom: id, ...size });
    await dead.move(pending, "starting", { hostId: cp.hostId });
    await age();
    await settleAbandoned(cp.settling);
    expect(await shown(cp, pending.id)).toMatchObject({ state: "stopped", reason: "interrupted" });
  });
});
