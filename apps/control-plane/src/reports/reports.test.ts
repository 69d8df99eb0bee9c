import { newId } from "@wrenn/contracts";
import type { Host, ReportedCapsule } from "@wrenn/contracts/rest";
import { sql } from "kysely";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { CapsuleRow } from "../database/schema.ts";
import { shown, startTestControlPlane, type TestControlPlane } from "../testing/control-plane.ts";
import { startForeignAgent } from "../testing/foreign-agent.ts";
import { startTestPostgres, type TestPostgres } from "../testing/postgres.ts";

let postgres: TestPostgres;
let cp: TestControlPlane;
/** What the host answers when it is asked what it has. */
let onHost: { id: string; state: string; generation?: bigint; revision?: bigint }[];
let asked: number;
let destroyed: string[];
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres[Symbol.asyncDispose]());
beforeEach(async () => {
  cp = await startTestControlPlane(postgres);
  onHost = [];
  asked = 0;
  destroyed = [];
  cp.agent.answers = {
    listCapsules: () => {
      asked += 1;
      return { capsules: onHost };
    },
    destroyCapsule: ({ capsuleId }) => {
      destroyed.push(capsuleId);
      return {};
    },
  };
  return () => cp[Symbol.asyncDispose]();
});

const store = () => cp.settling.store;
const seen = async (id: string): Promise<CapsuleRow> => {
  const [row] = await store().findMany([id]);
  if (!row) throw new Error(`there is no ${id}`);
  return row;
};
const shownHost = async () => (await cp.request("GET", `/v1/hosts/${cp.hostId}`)).json<Host>();
const delta = (capsules: Partial<ReportedCapsule>[], via?: typeof cp.inject) =>
  cp.host.told(capsules, { base_revision: cp.host.revision }, via);

async function startingRow(): Promise<CapsuleRow> {
  const size = { vcpus: 1, memoryMib: 512 };
  const id = newId("capsule");
  const pending = await store().insert({
    id,
    teamId: cp.teamId,
    template: "minimal",
    timeoutSec: 0,
    ...size,
  });
  return (await store().move(pending, "starting", { hostId: cp.hostId })) ?? pending;
}

describe("the order of reports", () => {
  test("a full set, then changes, each acknowledged", async () => {
    expect(await cp.host.told()).toEqual({ acknowledged: 2, full_wanted: false });
    expect(await delta([])).toEqual({ acknowledged: 3, full_wanted: false });
    expect(await delta([])).toEqual({ acknowledged: 4, full_wanted: false });
  });

  test("after a gap everything is wanted, and nothing of the gap is believed", async () => {
    const id = await cp.runningCapsule();
    const died = { id, state: "error", reason: "vmm_exited", revision: 5 } as const;
    const { revision } = cp.host;
    expect(await cp.host.told([died], { base_revision: revision + 1, revision: revision + 2 })).toEqual({
      acknowledged: revision,
      full_wanted: true,
    });
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
    expect(await cp.host.told([died], { revision: revision + 2 })).toMatchObject({ full_wanted: false });
    expect(await shown(cp, id)).toMatchObject({ status: "error", reason: "vmm_exited" });
  });

  test("the last words of a machine are shown, whatever it said", async () => {
    const id = await cp.runningCapsule();
    await delta([{ id, state: "error", reason: "vmm_exited", detail: "qemu: \u0000 full\n", revision: 2 }]);
    expect(await shown(cp, id)).toMatchObject({ state: "error", detail: "qemu:  full\n" });
  });

  test("a capsule whose journal cannot be read is in error, and is left to who owns it", async () => {
    const id = await cp.runningCapsule();
    const unreadable = { id, state: "error", reason: "journal_unreadable", revision: 2 } as const;
    for (const tell of [delta, cp.host.told]) await tell([unreadable]);
    expect(await shown(cp, id)).toMatchObject({ state: "error", reason: "journal_unreadable" });
    expect((await cp.request("DELETE", `/v1/capsules/${id}`)).statusCode).toBe(204);
    expect(destroyed).toEqual([id]);
  });

  test("one that comes twice, or late, changes nothing and is acknowledged", async () => {
    const first = await delta([]);
    expect(await cp.host.told([], { revision: first.acknowledged, base_revision: 1 })).toEqual(first);
    cp.host.revision = first.acknowledged;
    await delta([]);
    const id = await cp.runningCapsule();
    const late = await cp.host.told([{ id, state: "error" }], { revision: 1 });
    expect(late).toEqual({ acknowledged: first.acknowledged + 1, full_wanted: false });
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
  });

  test("of one that comes to several control planes at once, every capsule is told of once", async () => {
    const replicas = [cp, await cp.newReplica(), await cp.newReplica()];
    const ids = await Promise.all(Array.from({ length: 5 }, () => cp.runningCapsule()));
    const died = ids.map((id) => ({ id, state: "error", reason: "vmm_exited", revision: 2 }) as const);
    const { revision } = cp.host;
    const position = { base_revision: revision, revision: revision + 1 };
    const answers = await Promise.all(replicas.map(({ inject }) => cp.host.told(died, position, inject)));
    // One has moved on, the others either saw that or ask for everything: nobody acknowledges what it has not done.
    for (const { acknowledged, full_wanted } of answers) {
      expect(full_wanted || acknowledged === revision + 1).toBe(true);
    }
    for (const id of ids)
      expect(await shown(cp, id)).toMatchObject({ status: "error", reason: "vmm_exited" });
  });

  test("an earlier life of the agent is refused, a later one begins with everything", async () => {
    cp.host.epoch = 7;
    expect(await cp.host.told([], { base_revision: 1 })).toMatchObject({ full_wanted: true });
    expect(await cp.host.told([], { revision: 1 })).toEqual({ acknowledged: 1, full_wanted: false });
    const stale = await cp.host.report([], { epoch: 6, revision: 99 });
    expect(stale.statusCode).toBe(409);
    expect(stale.json()).toMatchObject({ error: { code: "stale_report", field: "epoch", message: /6.*7/ } });
  });

  test("a control plane that has just started wants everything once, whatever it is told", async () => {
    const replica = await cp.newReplica();
    expect(await delta([], replica.inject)).toMatchObject({ full_wanted: true });
    expect(await cp.host.told([], {}, replica.inject)).toMatchObject({ full_wanted: false });
    expect(await delta([], replica.inject)).toMatchObject({ full_wanted: false });
    expect(await delta([])).toMatchObject({ full_wanted: false });
  });
});

describe("what is reported", () => {
  test("of a capsule that both know to run changes nothing but its revision", async () => {
    const id = await cp.runningCapsule();
    await cp.host.told([{ id, state: "running", revision: 4 }]);
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
    expect((await seen(id)).revision).toBe(4n);
    expect([destroyed, asked]).toEqual([[], 0]);
  });

  test("of a capsule that has died is noted at once, and what is left of it kept", async () => {
    const id = await cp.runningCapsule();
    await delta([{ id, state: "error", reason: "vmm_exited", revision: 2 }]);
    expect(await shown(cp, id)).toMatchObject({ status: "error", reason: "vmm_exited" });
    await cp.background[Symbol.asyncDispose]();
    expect(destroyed).toEqual([]);
  });

  test("of an older observation, or another command, is not believed", async () => {
    const id = await cp.runningCapsule();
    await delta([{ id, state: "running", revision: 5 }]);
    await delta([{ id, state: "error", revision: 4 }]);
    await delta([{ id, state: "error", generation: 2, revision: 6 }]);
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
  });

  test("of capsules that the host has drained makes them stopped", async () => {
    const id = await cp.runningCapsule();
    await delta([{ id, state: "stopped", reason: "host_drained", revision: 2 }]);
    expect(await shown(cp, id)).toMatchObject({
      status: "stopped",
      state: "stopped",
      reason: "host_drained",
    });
  });

  test("of a create under way elsewhere brings its row where it belongs, and the create sees that", async () => {
    const asked = Promise.withResolvers<string>();
    const answer = Promise.withResolvers<void>();
    cp.agent.answers.createCapsule = async ({ capsuleId }) => {
      asked.resolve(capsuleId);
      await answer.promise;
      return { capsule: { id: capsuleId, state: "running", generation: 1n, revision: 2n } };
    };
    const creating = cp.request("POST", "/v1/capsules");
    const id = await asked.promise;
    const replica = await cp.newReplica();
    const versions = { kernel_version: "6.1" };
    await delta([{ id, state: "running", revision: 2, versions }], replica.inject);
    expect(await shown(cp, id)).toMatchObject({ status: "running", metadata: versions });
    answer.resolve();
    expect((await creating).statusCode).toBe(201);
  });

  test("of a create under way here is left to it", async () => {
    const row = await startingRow();
    const { promise, resolve } = Promise.withResolvers<void>();
    const operation = cp.settling.operations.run(row.id, () => promise);
    await delta([{ id: row.id, state: "running", revision: 2 }]);
    expect(await shown(cp, row.id)).toMatchObject({ status: "starting" });
    resolve();
    await operation;
  });

  test("of a create that failed says why, whoever began it", async () => {
    const row = await startingRow();
    await delta([{ id: row.id, state: "stopped", reason: "host_disk_full", revision: 2 }]);
    expect(await shown(cp, row.id)).toMatchObject({ status: "error", reason: "host_disk_full" });
    await cp.background[Symbol.asyncDispose]();
    expect(destroyed).toEqual([]);
  });

  test("of what should not be there is ended: unknown ones, failed ones, stopped ones", async () => {
    const { id: failed } = await startingRow();
    await store().move(await seen(failed), "error", { reason: "host_unavailable" });
    const unknown = newId("capsule");
    await cp.host.told([
      { id: failed, state: "running" },
      { id: unknown, state: "running" },
      { id: newId("capsule"), state: "stopped" },
      { id: newId("capsule"), state: "stopping" },
      { id: "nonsense", state: "error" },
    ]);
    await cp.background[Symbol.asyncDispose]();
    expect(destroyed.sort()).toEqual([failed, unknown, "nonsense"].sort());
  });

  test("of another host's capsule is no business of this one", async () => {
    const other = await cp.newHost();
    const id = await cp.runningCapsule(other.id);
    await cp.host.told([{ id, state: "error", revision: 9 }]);
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
    await cp.background[Symbol.asyncDispose]();
    expect(destroyed).toEqual([]);
  });

  test("is ended later if it cannot be now: the next report has to be full", async () => {
    cp.agent.answers.destroyCapsule = () => {
      throw new Error("not now");
    };
    await delta([{ id: newId("capsule"), state: "running" }]);
    await cp.background[Symbol.asyncDispose]();
    expect(await delta([])).toMatchObject({ full_wanted: true });
  });
});

describe("what a full set does not hold", () => {
  test("is lost when the host, asked, does not have it", async () => {
    const id = await cp.runningCapsule();
    await delta([]);
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
    await cp.host.told([]);
    expect(await shown(cp, id)).toMatchObject({ status: "error", reason: "lost" });
  });

  test("is not lost when it began after the report was written", async () => {
    const id = await cp.runningCapsule();
    onHost = [{ id, state: "running", generation: 1n, revision: 1n }];
    await cp.host.told([]);
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
    expect(asked).toBe(1);
  });

  test("is not lost when it is destroyed while the host is asked", async () => {
    const id = await cp.runningCapsule();
    cp.agent.answers.listCapsules = async () => {
      const row = await seen(id);
      await store().move(row, "stopping", { generation: row.generation + 1n });
      return { capsules: [] };
    };
    await cp.host.told([]);
    expect(await shown(cp, id)).toMatchObject({ state: "stopping" });
  });

  test("is not judged when the host cannot be asked: everything has to come again", async () => {
    const id = await cp.runningCapsule();
    await cp.agent[Symbol.asyncDispose]();
    const { revision } = cp.host;
    expect(await cp.host.told([])).toMatchObject({ acknowledged: revision, full_wanted: true });
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
  });
});

test("a create that failed because its host was away leaves an orphan, which is ended once the host tells of it", async () => {
  let id = "";
  cp.agent.answers.createCapsule = async ({ capsuleId }) => {
    id = capsuleId;
    await cp.agent[Symbol.asyncDispose](); // it makes the capsule, and its answer never comes
    throw new Error("never heard");
  };
  const response = await cp.request("POST", "/v1/capsules");
  expect(response.json()).toMatchObject({ error: { code: "host_unavailable" } });
  expect(await shown(cp, id)).toMatchObject({ status: "error", reason: "host_unavailable" });
  await cp.background[Symbol.asyncDispose]();
  expect(await shownHost()).toMatchObject({ reason: /did not answer/ });
  const refused = (await cp.request("POST", "/v1/capsules")).json();
  expect(refused).toMatchObject({ error: { code: "host_unavailable", message: /GET \/v1\/hosts/ } });
  expect(await delta([])).toMatchObject({ full_wanted: true });
});

describe("a host", () => {
  test("that answers as another at its address gets no capsules, and its operator learns why", async () => {
    const other = await cp.newHost();
    const answer = await cp.host.told([], { address: other.agent.address });
    expect(answer.problem).toMatch(/certificate of another host/);
    expect(await shownHost()).toMatchObject({ status: "online", reason: answer.problem });
    await sql`delete from hosts where id = ${other.id}`.execute(cp.database.kysely);
    expect((await cp.request("POST", "/v1/capsules")).statusCode).toBe(503);
    expect(await cp.host.told([])).not.toHaveProperty("problem");
    expect(await shownHost()).not.toHaveProperty("reason");
  });

  test("that cannot be reached at its address gets none either", async () => {
    await using gone = await startForeignAgent();
    await gone[Symbol.asyncDispose]();
    const { problem } = await cp.host.told([], { address: gone.address });
    expect(problem).toContain(gone.address);
    expect((await cp.host.report([], { address: "nowhere" })).json()).toMatchObject({
      error: { code: "invalid_request", field: "address" },
    });
  });

  test("whose clock is wrong is told both times and the cure", async () => {
    const sent_at = new Date(Date.now() + 10 * 60_000).toISOString();
    const { problem } = await cp.host.told([], { sent_at });
    expect(problem).toContain(sent_at);
    expect(problem).toMatch(/NTP/);
    expect((await cp.request("POST", "/v1/capsules")).statusCode).toBe(503);
    expect(await cp.host.told([])).not.toHaveProperty("problem");
  });

  test("that is silent makes its capsules missing, and they are back when it is", async () => {
    const id = await cp.runningCapsule();
    const { kysely } = cp.database;
    await sql`update hosts set last_report_at = now() - interval '91 seconds'`.execute(kysely);
    expect(await shown(cp, id)).toMatchObject({ status: "missing", state: "running" });
    expect((await cp.request("GET", "/v1/capsules")).json()).toMatchObject([{ id, status: "missing" }]);
    expect(await shownHost()).toMatchObject({ status: "unreachable", reason: /has not reported since/ });
    expect((await cp.request("POST", "/v1/capsules")).statusCode).toBe(503);
    await delta([{ id, state: "running" }]);
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
  });

  test("that is new takes capsules at once, the one with the fewest first, from any control plane", async () => {
    await cp.runningCapsule();
    const replica = await cp.newReplica();
    const other = await cp.newHost();
    other.agent.answers.createCapsule = ({ capsuleId, generation }) => ({
      capsule: { id: capsuleId, generation, revision: 1n, state: "running" },
    });
    const headers = { "x-api-key": cp.apiKey };
    const made = await replica.inject({ method: "POST", url: "/v1/capsules", headers });
    expect(made.statusCode).toBe(201);
    expect((await seen(made.json().id)).host_id).toBe(other.id);
  });

  test("that has moved is found at its new address by every control plane", async () => {
    const replica = await cp.newReplica();
    const id = await cp.runningCapsule();
    const list = (api: typeof cp.inject) =>
      api({
        method: "POST",
        url: `/v1/capsules/${id}/files/list`,
        headers: { "x-api-key": cp.apiKey },
        payload: { path: "/" },
      });
    cp.agent.answers.listDirectory = () => ({ entries: [] });
    for (const api of [cp.inject, replica.inject]) expect((await list(api)).statusCode).toBe(200);
    await using moved = await startForeignAgent({ listDirectory: () => ({ entries: [{ name: "moved" }] }) });
    moved.identify(cp.host.identity);
    await cp.host.told([{ id }], { address: moved.address });
    for (const api of [cp.inject, replica.inject]) {
      expect((await list(api)).json()).toMatchObject({ entries: [{ name: "moved" }] });
    }
  });
});

test("a body that is no report is refused with the field that is wrong", async () => {
  const wrong: [object, string][] = [
    [{ epoch: 0 }, "epoch"],
    [{ revision: -1 }, "revision"],
    [
      { capsules: [{ id: "x", state: "asleep", generation: 1, revision: 1, versions: {} }] },
      "capsules[0].state",
    ],
    [{ capsules: "all" }, "capsules"],
    [{ sent_at: "now" }, "sent_at"],
    [{ cpu_cores: "8" }, "cpu_cores"],
  ];
  for (const [changes, field] of wrong) {
    const response = await cp.host.report([], changes);
    expect(response.statusCode, field).toBe(400);
    expect(response.json()).toMatchObject({ error: { code: "invalid_request", field } });
  }
  const huge = await cp.host.report([{ reason: "x".repeat(17 * 1024 * 1024) }]);
  expect(huge.json()).toMatchObject({ error: { code: "payload_too_large" } });
  const url = `/v1/hosts/${newId("host")}/report`;
  const headers = { "x-host-token": "wrh_" };
  const stranger = await cp.inject({ method: "POST", url, headers, payload: {} });
  expect(stranger.json()).toMatchObject({ error: { code: "unauthorized", message: /register again/ } });
});
