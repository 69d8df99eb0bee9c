import { setTimeout as sleep } from "node:timers/promises";
import type { Capsule, ErrorBody, Template } from "@wrenn/contracts/rest";
import { describe, expect, test } from "vitest";
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
  id = (await create()).json<Capsule>().id;
});

const create = (body: object = {}) => cp.request("POST", "/v1/capsules", body);
const take = (name?: string, query = "", sandbox = id) =>
  cp.request("POST", `/v1/snapshots${query}`, { sandbox_id: sandbox, ...(name && { name }) });
const list = async (query = "") => (await cp.request("GET", `/v1/snapshots${query}`)).json<Template[]>();
const names = async (query = "") => (await list(query)).map(({ name }) => name);
const remove = (name: string, query = "") => cp.request("DELETE", `/v1/snapshots/${name}${query}`);
const codeOf = (response: { json<T>(): T }) => response.json<ErrorBody>().error.code;

describe("taking a snapshot", () => {
  test("answers 201 with a template, and the capsule goes on as it was", async () => {
    const response = await take("mine");
    expect(response.statusCode).toBe(201);
    const template = response.json<Template>();
    expect(template).toMatchObject({
      name: "mine",
      type: "snapshot",
      vcpus: 1,
      memory_mb: 512,
      size_bytes: 4096,
      platform: false,
    });
    expect(template.created_at).toMatch(/Z$/);
    expect(await shown(cp, id)).toMatchObject({ state: "running" });
    expect((await cp.request("GET", "/v1/snapshots/mine")).json()).toEqual(template);
    expect(onHost.done).toContain("snapshot 2");
  });

  test("of a paused capsule leaves it paused", async () => {
    await cp.request("POST", `/v1/capsules/${id}/pause`);
    expect((await take("mine")).statusCode).toBe(201);
    expect(await shown(cp, id)).toMatchObject({ state: "paused" });
  });

  test("finds a name where none is given", async () => {
    const [one, other] = [(await take()).json<Template>(), (await take()).json<Template>()];
    expect(one.name).toMatch(/^template-[0-9a-f]{8}$/);
    expect(await names("?type=snapshot")).toEqual([other.name, one.name]);
  });

  test("lists what there is: templates of hosts, and the team's snapshots", async () => {
    await take("mine");
    expect(await list("?type=base")).toEqual([{ name: "minimal", type: "base", platform: true }]);
    expect(await names("?type=snapshot")).toEqual(["mine"]);
    expect(await names()).toEqual(["minimal", "mine"]);
    expect((await cp.request("GET", "/v1/snapshots?type=x")).statusCode).toBe(400);
    const headers = { "x-api-key": await cp.strangersKey() };
    const foreign = await cp.inject({ url: "/v1/snapshots", headers });
    expect(foreign.json<Template[]>().map(({ name }) => name)).toEqual(["minimal"]);
    expect((await cp.inject({ url: "/v1/snapshots/mine", headers })).statusCode).toBe(404);
    const base = await cp.request("GET", "/v1/snapshots/minimal");
    expect(base.json()).toEqual({ name: "minimal", type: "base", platform: true });
  });

  test("refuses what is wrong by name, and leaves everything as it was", async () => {
    const wrong: [object, string][] = [
      [{}, "sandbox_id"],
      [{ sandbox_id: id, name: "../x" }, "name"],
      [{ sandbox_id: id, name: "" }, "name"],
      [{ sandbox_id: 5 }, "sandbox_id"],
    ];
    for (const [body, field] of wrong) {
      const response = await cp.request("POST", "/v1/snapshots", body);
      expect(response.statusCode, JSON.stringify(body)).toBe(400);
      expect(response.json<ErrorBody>().error.field).toBe(field);
    }
    expect((await take("mine", "?overwrite=maybe")).statusCode).toBe(400);
    const unknown = await take("mine", "", "cl0");
    expect(unknown.statusCode).toBe(404);
    expect(unknown.json<ErrorBody>().error.field).toBe("sandbox_id");
    expect(codeOf(await take("minimal"))).toBe("name_taken");
    await cp.request("DELETE", `/v1/capsules/${id}`);
    expect(codeOf(await take("mine"))).toBe("invalid_state");
    expect(await names("?type=snapshot")).toEqual([]);
  });

  test("that the host refuses frees the name, and the capsule goes on", async () => {
    onHost.refusals.set("snapshot", "host_memory_full");
    const response = await take("mine");
    expect(response.statusCode).toBe(503);
    expect(codeOf(response)).toBe("host_memory_full");
    expect(await shown(cp, id)).toMatchObject({ state: "running" });
    onHost.refusals.clear();
    expect((await take("mine")).statusCode).toBe(201);
  });

  test("of a capsule whose host is silent is 503 at once", async () => {
    await cp.database.pool.query("update hosts set last_report_at = now() - interval '2 minutes'");
    expect(codeOf(await take("mine"))).toBe("host_unavailable");
    expect(await shown(cp, id)).toMatchObject({ state: "running", status: "missing" });
  });

  test("goes on when the client leaves", async () => {
    onHost.delayMs = 100;
    const url = await cp.api.listen({ host: "127.0.0.1", port: 0 });
    const headers = { "x-api-key": cp.apiKey, "content-type": "application/json" };
    const body = JSON.stringify({ sandbox_id: id, name: "mine" });
    const client = new AbortController();
    const gone = fetch(`${url}/v1/snapshots`, { method: "POST", headers, body, signal: client.signal });
    await expect.poll(() => shown(cp, id)).toMatchObject({ state: "snapshotting" });
    client.abort();
    await expect(gone).rejects.toThrow();
    await expect.poll(() => names("?type=snapshot")).toEqual(["mine"]);
    expect(await shown(cp, id)).toMatchObject({ state: "running" });
  });
});

describe("a name", () => {
  test("that is taken is 409, also by one that is being made", async () => {
    onHost.delayMs = 50;
    const other = (await create()).json<Capsule>().id;
    const both = await Promise.all([take("mine"), take("mine", "", other)]);
    expect(both.map(({ statusCode }) => statusCode).sort()).toEqual([201, 409]);
    const refused = both.find(({ statusCode }) => statusCode === 409);
    expect(refused?.json()).toMatchObject({ error: { code: "name_taken", field: "name" } });
    expect(codeOf(await take("mine"))).toBe("name_taken");
    expect(await names("?type=snapshot")).toEqual(["mine"]);
    expect(onHost.snapshots.size).toBe(1);
  });

  test("is another's in another team", async () => {
    await take("mine");
    const headers = { "x-api-key": await cp.strangersKey() };
    const theirs = await cp.inject({ method: "POST", url: "/v1/capsules", headers });
    const payload = { sandbox_id: theirs.json<Capsule>().id, name: "mine" };
    const response = await cp.inject({ method: "POST", url: "/v1/snapshots", headers, payload });
    expect(response.statusCode).toBe(201);
  });

  test("goes over to a new snapshot when that is ready, and not before", async () => {
    await take("mine");
    const [old] = onHost.snapshots.keys();
    const standing = await create({ template: "mine" });
    onHost.refusals.set("snapshot", "host_disk_full");
    expect(codeOf(await take("mine", "?overwrite=true"))).toBe("host_disk_full");
    expect(await names("?type=snapshot")).toEqual(["mine"]);
    onHost.refusals.clear();
    onHost.delayMs = 50;
    const taking = take("mine", "?overwrite=true");
    await expect.poll(() => shown(cp, id)).toMatchObject({ state: "snapshotting" });
    expect((await cp.request("GET", "/v1/snapshots/mine")).statusCode).toBe(200);
    expect((await taking).statusCode).toBe(201);
    await expect.poll(() => [...onHost.snapshots.keys()]).toHaveLength(1);
    expect(onHost.snapshots.has(old ?? "")).toBe(false);
    expect(await names("?type=snapshot")).toEqual(["mine"]);
    expect(await shown(cp, standing.json<Capsule>().id)).toMatchObject({ state: "running" });
  });

  test("of ten that replace one at once is that of one", async () => {
    await take("mine");
    const capsules = await Promise.all(Array.from({ length: 5 }, () => create()));
    const all = await Promise.all(
      capsules.map((capsule) => take("mine", "?overwrite=true", capsule.json<Capsule>().id)),
    );
    for (const response of all) expect([201, 409]).toContain(response.statusCode);
    expect(all.some(({ statusCode }) => statusCode === 201)).toBe(true);
    expect(await names("?type=snapshot")).toEqual(["mine"]);
    await expect.poll(() => onHost.snapshots.size).toBe(1);
  });
});

describe("creating from a snapshot", () => {
  test("makes a capsule of its size, where it lies", async () => {
    const large = (await create({ vcpus: 2, memory_mb: 1024 })).json<Capsule>().id;
    await take("mine", "", large);
    const elsewhere = await cp.newHost();
    elsewhere.agent.answers.createCapsule = () => {
      throw new Error("it is not there");
    };
    for (const body of [{}, { vcpus: 0, memory_mb: 0 }, { vcpus: 2, memory_mb: 1024 }]) {
      const response = await create({ template: "mine", ...body });
      expect(response.statusCode).toBe(201);
      expect(response.json()).toMatchObject({ template: "mine", vcpus: 2, memory_mb: 1024 });
    }
    const [snapshotId] = onHost.snapshots.keys();
    expect(onHost.creates.at(-1)).toMatchObject({ snapshotId, vcpus: 0, memoryMib: 0, template: "mine" });
  });

  test("refuses another size, and names the field", async () => {
    await take("mine");
    for (const [body, field] of [
      [{ vcpus: 2 }, "vcpus"],
      [{ memory_mb: 1024 }, "memory_mb"],
      [{ disk_size_mb: 1 }, "disk_size_mb"],
    ] as const) {
      const response = await create({ template: "mine", ...body });
      expect(response.statusCode).toBe(400);
      expect(response.json()).toMatchObject({ error: { code: "invalid_request", field } });
    }
  });

  test("is not possible from another team's", async () => {
    await take("mine");
    const headers = { "x-api-key": await cp.strangersKey() };
    const payload = { template: "mine" };
    const response = await cp.inject({ method: "POST", url: "/v1/capsules", headers, payload });
    expect(response.statusCode).toBe(404);
  });
});

describe("deleting a snapshot", () => {
  test("lets go of it on its host", async () => {
    await take("mine");
    const response = await remove("mine");
    expect(response.statusCode).toBe(204);
    expect(response.body).toBe("");
    expect(onHost.snapshots.size).toBe(0);
    expect(await names("?type=snapshot")).toEqual([]);
    expect((await remove("mine")).statusCode).toBe(404);
    expect((await create({ template: "mine" })).statusCode).toBe(404);
    expect((await take("mine")).statusCode).toBe(201);
  });

  test("is refused while capsules that were created from it are there, unless forced", async () => {
    await take("mine");
    const standing = (await create({ template: "mine" })).json<Capsule>().id;
    const refused = await remove("mine");
    expect(refused.statusCode).toBe(409);
    expect(refused.json()).toMatchObject({ error: { code: "template_in_use", message: /1 capsule/ } });
    expect(onHost.snapshots.size).toBe(1);
    expect((await remove("mine", "?force=true")).statusCode).toBe(204);
    expect(await shown(cp, standing)).toMatchObject({ state: "running", template: "mine" });
    await take("other");
    const gone = (await create({ template: "other" })).json<Capsule>().id;
    await cp.request("DELETE", `/v1/capsules/${gone}`);
    expect((await remove("other")).statusCode).toBe(204);
  });

  test("is not kept from it by a create that has failed", async () => {
    await take("mine");
    onHost.refusals.set("create", "host_disk_full");
    expect((await create({ template: "mine" })).statusCode).toBe(503);
    expect((await remove("mine")).statusCode).toBe(204);
  });

  test("of what is everybody's is forbidden, of what there is not 404", async () => {
    expect((await remove("minimal")).statusCode).toBe(403);
    expect((await remove("nope")).statusCode).toBe(404);
    await take("mine");
    const headers = { "x-api-key": await cp.strangersKey() };
    expect((await cp.inject({ method: "DELETE", url: "/v1/snapshots/mine", headers })).statusCode).toBe(404);
  });

  test("without its host is done all the same; the name is free at once", async () => {
    await take("mine");
    onHost.refusals.set("delete", "agent_error");
    expect((await remove("mine")).statusCode).toBe(204);
    expect(await names("?type=snapshot")).toEqual([]);
    expect(onHost.snapshots.size).toBe(1);
    expect((await take("mine")).statusCode).toBe(201);
  });

  test("races with creates from it: either wins, and no capsule stands on nothing", async () => {
    for (let round = 0; round < 8; round += 1) {
      await take("mine");
      const creating = Array.from({ length: 3 }, () => create({ template: "mine" }));
      if (round % 2) await sleep(round);
      const [removed, ...created] = await Promise.all([remove("mine"), ...creating]);
      const made = created.filter(({ statusCode }) => statusCode === 201);
      for (const { statusCode } of created) expect([201, 404]).toContain(statusCode);
      if (removed.statusCode === 204) expect(made).toEqual([]);
      else expect(codeOf(removed)).toBe("template_in_use");
      for (const response of made) {
        await cp.request("DELETE", `/v1/capsules/${response.json<Capsule>().id}`);
      }
      await remove("mine");
    }
  });
});
