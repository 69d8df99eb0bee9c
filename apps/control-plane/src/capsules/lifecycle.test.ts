import { request as httpRequest } from "node:http";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Capsule, ErrorBody } from "@wrenn/contracts/rest";
import { sql } from "kysely";
import { beforeEach, describe, expect, test } from "vitest";
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

const post = (path: string, body?: object) => cp.request("POST", `/v1/capsules/${id}/${path}`, body);
const state = async () => (await shown(cp, id)).state;
/** Makes what nobody works on look old enough for the settler. */
const age = () =>
  sql`update capsules set updated_at = now() - interval '16 seconds'`.execute(cp.database.kysely);

async function history(): Promise<string[]> {
  const { rows } = await sql<{ step: string }>`
    select concat_ws(' ', from_state, to_state, generation, reason) as step from capsule_transitions
    where capsule_id = ${id} order by at, id`.execute(cp.database.kysely);
  return rows.map(({ step }) => step);
}

test("a whole life leaves a row for each step, in order", async () => {
  for (const [step, status] of [
    ["pause", "paused"],
    ["resume", "running"],
    ["pause", "paused"],
    ["hibernate", "hibernated"],
    ["resume", "running"],
  ] as const) {
    const response = await post(step);
    expect(response.statusCode, step).toBe(200);
    expect(response.json()).toMatchObject({ id, status, state: status });
    expect(await shown(cp, id)).toEqual(response.json());
  }
  expect((await cp.request("DELETE", `/v1/capsules/${id}`)).statusCode).toBe(204);
  expect(await history()).toEqual([
    "pending 1",
    "pending starting 1",
    "starting running 1",
    "running pausing 2",
    "pausing paused 2",
    "paused resuming 3",
    "resuming running 3",
    "running pausing 4",
    "pausing paused 4",
    "paused hibernating 5",
    "hibernating hibernated 5",
    "hibernated resuming 6",
    "resuming running 6",
    "running stopping 7",
    "stopping stopped 7 destroyed",
  ]);
});

describe("a command", () => {
  test("that its state does not allow is 409, and says what is allowed", async () => {
    const refused = async (path: string, words: RegExp, body?: object) => {
      const response = await post(path, body);
      expect(response.statusCode).toBe(409);
      expect(response.json()).toMatchObject({ error: { code: "invalid_state", message: words } });
    };
    await refused("resume", /"running": it allows pause, snapshot, fork, destroy, and not resume/);
    await refused("hibernate", /"running"/);
    await post("pause");
    await refused("pause", /"paused": it allows resume, snapshot, fork, hibernate, destroy, and not pause/);
    await post("hibernate");
    await refused("pause", /"hibernated"/);
    await cp.request("DELETE", `/v1/capsules/${id}`);
    await refused("resume", /"stopped": it allows nothing any more/);
    expect(onHost.done).toEqual(["create 1", "pause 2", "hibernate 3", "destroy"]);
  });

  test("of what there is not, or not in this team, is 404", async () => {
    const headers = { "x-api-key": await cp.strangersKey() };
    for (const path of ["pause", "resume", "hibernate", "fork"]) {
      const url = `/v1/capsules/${id}/${path}`;
      expect((await cp.inject({ method: "POST", url, headers })).statusCode).toBe(404);
      expect((await cp.request("POST", `/v1/capsules/cl0/${path}`)).statusCode).toBe(404);
    }
    expect(await state()).toBe("running");
  });

  test("that the host refuses is answered with its code, and the capsule is where it was", async () => {
    for (const [kind, code, before] of [
      ["pause", "host_disk_full", "running"],
      ["resume", "host_full", "paused"],
      ["resume", "snapshot_corrupt", "paused"],
      ["hibernate", "host_disk_full", "paused"],
    ] as const) {
      if (before === "paused" && (await state()) === "running") await post("pause");
      onHost.refusals.set(kind, code);
      const response = await post(kind);
      expect(response.statusCode, code).toBe(503);
      expect(response.json()).toMatchObject({ error: { code } });
      expect(await state()).toBe(before);
      onHost.refusals.clear();
    }
    expect((await post("resume")).statusCode).toBe(200);
    expect((await history()).slice(-3)).toEqual([
      "hibernating paused 6",
      "paused resuming 7",
      "resuming running 7",
    ]);
  });

  test("that was refused does not make us deaf to what the host says next", async () => {
    onHost.refusals.set("pause", "host_disk_full");
    await post("pause");
    onHost.change(id, "paused", "idle_timeout");
    await cp.host.told([onHost.reported(id)]);
    expect(await shown(cp, id)).toMatchObject({ state: "paused", reason: "idle_timeout" });
    onHost.refusals.clear();
    expect((await post("resume")).json()).toMatchObject({ state: "running" });
    expect(await shown(cp, id)).not.toHaveProperty("reason");
  });

  test("of a capsule that its host has moved by itself is judged by where the host says it is", async () => {
    onHost.change(id, "error", "vmm_exited");
    expect((await post("pause")).json()).toMatchObject({ error: { code: "invalid_state" } });
    expect(await shown(cp, id)).toMatchObject({ state: "error", reason: "vmm_exited" });
    onHost.capsules.delete(id);
    expect((await post("resume", { from: "disk" })).json()).toMatchObject({
      error: { code: "invalid_state" },
    });
    expect(await shown(cp, id)).toMatchObject({ state: "error", reason: "lost" });
  });

  test("that cannot reach its host is 503, and is finished when it can", async () => {
    cp.agent.answers = {
      ...onHost.answers,
      pauseCapsule: () => {
        throw new ConnectError("gone", Code.Unavailable);
      },
    };
    expect((await post("pause")).statusCode).toBe(503);
    expect(await state()).toBe("pausing");
    cp.agent.answers = onHost.answers;
    await age();
    await settleAbandoned(cp.settling);
    expect(await state()).toBe("paused");
    expect(onHost.done).toContain("pause 2");
  });

  test("goes on when the client leaves", async () => {
    onHost.delayMs = 100;
    const url = await cp.api.listen({ host: "127.0.0.1", port: 0 });
    const headers = { "x-api-key": cp.apiKey };
    const client = httpRequest(`${url}/v1/capsules/${id}/pause`, { method: "POST", headers }).end();
    const left = new Promise<void>((resolve) => client.on("error", () => {}).on("close", resolve));
    await expect.poll(state).toBe("pausing");
    client.destroy();
    await left;
    await expect.poll(state).toBe("paused");
  });
});

describe("a capsule whose machine has died", () => {
  beforeEach(async () => {
    onHost.change(id, "error", "vmm_exited");
    await cp.host.told([onHost.reported(id)]);
  });

  test("keeps its disk, and is started from that when somebody says so", async () => {
    await cp.background[Symbol.asyncDispose]();
    expect(onHost.capsules.has(id)).toBe(true);
    const refused = (await post("resume")).json<ErrorBody>();
    expect(refused.error).toMatchObject({ code: "invalid_state", field: "from", message: /"from": "disk"/ });
    expect((await post("resume", { from: "disk" })).json()).toMatchObject({ state: "running" });
    expect(onHost.done).toEqual(["create 1", "boot 2"]);
  });

  test("is in error still, with its reason, when that fails", async () => {
    onHost.refusals.set("boot", "host_full");
    expect((await post("resume", { from: "disk" })).json()).toMatchObject({ error: { code: "host_full" } });
    expect(await shown(cp, id)).toMatchObject({ state: "error", reason: "vmm_exited" });
  });

  test("is in the way of its host's removal, until it is destroyed", async () => {
    expect((await cp.request("DELETE", `/v1/hosts/${cp.hostId}`)).statusCode).toBe(409);
    await cp.request("DELETE", `/v1/capsules/${id}`);
    expect(onHost.capsules.has(id)).toBe(false);
    expect((await cp.request("DELETE", `/v1/hosts/${cp.hostId}`)).statusCode).toBe(204);
  });

  test("is lost once its host does not have its disk any more", async () => {
    onHost.capsules.clear();
    await cp.host.told([]);
    expect(await shown(cp, id)).toMatchObject({ state: "error", reason: "lost" });
  });
});

test("resume takes no body, an empty one, and one without its content type", async () => {
  const url = `/v1/capsules/${id}/resume`;
  const key = { "x-api-key": cp.apiKey };
  for (const request of [
    { headers: key },
    { headers: { ...key, "content-type": "application/json" }, payload: "" },
    { headers: { ...key, "content-type": "application/json" }, payload: "{}" },
  ]) {
    await post("pause");
    expect((await cp.inject({ method: "POST", url, ...request })).statusCode).toBe(200);
  }
  expect((await post("resume", { from: "tape" })).json()).toMatchObject({ error: { field: "from" } });
});
