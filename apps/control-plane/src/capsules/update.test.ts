import { toConnectError, WrennError } from "@wrenn/contracts";
import type { Capsule, ErrorBody } from "@wrenn/contracts/rest";
import { describe, expect, test } from "vitest";
import { shown, type TestControlPlane } from "../testing/control-plane.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";

let cp: TestControlPlane;
withControlPlane((started) => {
  cp = started;
});

const update = (id: string, body: object) => cp.request("PATCH", `/v1/capsules/${id}`, body);

describe("changing a capsule", () => {
  test("sets what is given, leaves the rest, and tells its host all rules of time", async () => {
    const told: unknown[] = [];
    cp.agent.answers.updateCapsule = ({ capsuleId, timeRules }) => {
      told.push([capsuleId, timeRules?.idleTimeoutSec, timeRules?.maxRunSec, timeRules?.action]);
      return {};
    };
    const id = await cp.runningCapsule();
    const first = await update(id, { timeout_sec: 300, on_timeout: "destroy", metadata: { owner: "me" } });
    expect(first.statusCode).toBe(200);
    expect(first.json()).toMatchObject({ id, timeout_sec: 300, on_timeout: "destroy", max_run_sec: 0 });
    const second = await update(id, { max_run_sec: 60, metadata: { purpose: "test" }, timeout_sec: null });
    expect(second.json()).toMatchObject({ timeout_sec: 300, max_run_sec: 60 });
    expect(second.json<Capsule>().metadata).toEqual({ purpose: "test" });
    expect(await shown(cp, id)).toEqual(second.json());
    expect(told).toEqual([
      [id, 300, 0, "destroy"],
      [id, 300, 60, "destroy"],
    ]);
  });

  test("does not need its host for what that does not enforce", async () => {
    const id = await cp.runningCapsule();
    cp.agent.answers.updateCapsule = () => {
      throw new Error("it is not asked");
    };
    const response = await update(id, { auto_resume: true, metadata: {} });
    expect(response.json()).toMatchObject({ auto_resume: true });
  });

  test("holds although its host cannot be told", async () => {
    const id = await cp.runningCapsule();
    await cp.agent[Symbol.asyncDispose]();
    expect((await update(id, { timeout_sec: 5 })).statusCode).toBe(200);
    expect(await shown(cp, id)).toMatchObject({ timeout_sec: 5 });
  });

  test("names what is wrong, and changes nothing", async () => {
    const id = await cp.runningCapsule();
    const wrong: [object, string | undefined][] = [
      [{}, undefined],
      [{ timeout_sec: null }, undefined],
      [{ timeout_sec: -1 }, "timeout_sec"],
      [{ timeout_sec: 31 * 24 * 3600 }, "timeout_sec"],
      [{ on_timeout: "explode" }, "on_timeout"],
      [{ metadata: { "a b": "c" } }, "metadata"],
      [{ metadata: { a: 5 } }, "metadata.a"],
      [{ metadata: { image_version: "mine" } }, "metadata.image_version"],
      [{ metadata: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`k${n}`, ""])) }, "metadata"],
    ];
    const before = await shown(cp, id);
    for (const [body, field] of wrong) {
      const response = await update(id, body);
      expect(response.statusCode, JSON.stringify(body)).toBe(400);
      const { error } = response.json<ErrorBody>();
      expect(error).toMatchObject({ code: "invalid_request" });
      if (field) expect(error.field).toContain(field);
    }
    expect(await shown(cp, id)).toEqual(before);
    const created = await cp.request("POST", "/v1/capsules", { metadata: { vmm: "mine" } });
    expect(created.json()).toMatchObject({ error: { field: "metadata.vmm" } });
  });

  test("of another team, or that there is not, is 404", async () => {
    const id = await cp.runningCapsule();
    const headers = { "x-api-key": await cp.strangersKey() };
    const payload = { timeout_sec: 1 };
    const foreign = await cp.inject({ method: "PATCH", url: `/v1/capsules/${id}`, headers, payload });
    expect(foreign.statusCode).toBe(404);
    expect((await update("cl0", payload)).statusCode).toBe(404);
  });
});

describe("a ping", () => {
  const ping = (id: string) => cp.request("POST", `/v1/capsules/${id}/ping`);

  test("tells the host, and is activity", async () => {
    const touched: string[] = [];
    cp.agent.answers.touchCapsule = ({ capsuleId }) => {
      touched.push(capsuleId);
      return {};
    };
    const id = await cp.runningCapsule();
    const before = (await shown(cp, id)).last_active_at ?? "";
    const response = await ping(id);
    expect(response.statusCode).toBe(204);
    expect(response.body).toBe("");
    expect(touched).toEqual([id]);
    await cp.activity.flush();
    expect((await shown(cp, id)).last_active_at?.localeCompare(before)).toBe(1);
  });

  test("of what does not run is 409, whether we or its host know it", async () => {
    const id = await cp.runningCapsule();
    cp.agent.answers.touchCapsule = () => {
      throw toConnectError(new WrennError("not_found", "no such capsule", { field: "id" }));
    };
    expect((await ping(id)).json()).toMatchObject({ error: { code: "invalid_state" } });
    cp.agent.answers.destroyCapsule = () => ({});
    await cp.request("DELETE", `/v1/capsules/${id}`);
    expect((await ping(id)).json()).toMatchObject({ error: { code: "invalid_state" } });
    expect((await ping("cl0")).statusCode).toBe(404);
  });

  test("that cannot reach the host is 503", async () => {
    const id = await cp.runningCapsule();
    await cp.agent[Symbol.asyncDispose]();
    expect((await ping(id)).json()).toMatchObject({ error: { code: "host_unavailable" } });
  });
});
