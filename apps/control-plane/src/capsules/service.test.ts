import { request as httpRequest } from "node:http";
import { toConnectError, WrennError } from "@wrenn/contracts";
import type { Capsule, ErrorBody } from "@wrenn/contracts/rest";
import { describe, expect, test } from "vitest";
import { shown, type TestControlPlane } from "../testing/control-plane.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";

let cp: TestControlPlane;
withControlPlane((started) => {
  cp = started;
  cp.agent.answers = {
    createCapsule: ({ capsuleId, generation }) => ({
      capsule: {
        id: capsuleId,
        generation,
        revision: 3n,
        state: "running",
        kernelVersion: "6.1",
        vmm: "qemu-tcg",
      },
    }),
    destroyCapsule: () => ({}),
  };
});

const create = (body: object = {}) => cp.request("POST", "/v1/capsules", body);
const list = async () => (await cp.request("GET", "/v1/capsules")).json<Capsule[]>();

describe("creating", () => {
  test("answers 201 with the running capsule, of the usual size where nothing is said", async () => {
    const response = await create({ vcpus: null, memory_mb: 0, timeout_sec: 90, unknown: "ignored" });
    expect(response.statusCode).toBe(201);
    const capsule = response.json<Capsule>();
    expect(capsule).toMatchObject({
      status: "running",
      template: "minimal",
      vcpus: 1,
      memory_mb: 512,
      timeout_sec: 90,
      metadata: { kernel_version: "6.1", vmm: "qemu-tcg", agent_version: "9" },
    });
    for (const time of [capsule.created_at, capsule.started_at, capsule.last_updated]) {
      expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/);
    }
    expect(await list()).toEqual([capsule]);
    expect(await shown(cp, capsule.id)).toEqual(capsule);
  });

  test("gives the host what the capsule may do in time and how large its disk is", async () => {
    const made = cp.agent.answers.createCapsule;
    let asked: unknown;
    cp.agent.answers.createCapsule = (request, context) => {
      const { idleTimeoutSec, maxRunSec, action } = request.timeRules ?? {};
      asked = { disk: request.diskMib, idleTimeoutSec, maxRunSec, action, snapshot: request.snapshotId };
      return made?.(request, context) ?? {};
    };
    const settings = { timeout_sec: 60, max_run_sec: 3600, on_timeout: "destroy", disk_size_mb: 4096 };
    const response = await create({ ...settings, auto_resume: true, metadata: { owner: "me" } });
    expect(response.json()).toMatchObject({ ...settings, auto_resume: true, metadata: { owner: "me" } });
    expect(asked).toEqual({ disk: 4096, idleTimeoutSec: 60, maxRunSec: 3600, action: "destroy" });
  });

  test("takes no body at all for all defaults", async () => {
    expect((await cp.request("POST", "/v1/capsules")).statusCode).toBe(201);
    const headers = { "x-api-key": cp.apiKey, "content-type": "application/json" };
    expect((await cp.inject({ method: "POST", url: "/v1/capsules", headers, payload: "" })).statusCode).toBe(
      201,
    );
  });

  test("names the field that is wrong and what it may be, and makes nothing", async () => {
    const wrong: [object, string, RegExp][] = [
      [{ vcpus: 3 }, "vcpus", /1, 2, 4, 8/],
      [{ memory_mb: 100 }, "memory_mb", /256, 512/],
      [{ vcpus: "2" }, "vcpus", /integer/],
      [{ vcpus: 1.5 }, "vcpus", /integer/],
      [{ timeout_sec: -1 }, "timeout_sec", />= 0/],
      [{ template: "../etc" }, "template", /pattern/],
      [{ template: 5 }, "template", /string/],
    ];
    for (const [body, field, message] of wrong) {
      const response = await create(body);
      expect(response.statusCode, JSON.stringify(body)).toBe(400);
      const { error } = response.json<ErrorBody>();
      expect(error).toMatchObject({ code: "invalid_request", field });
      expect(error.message).toMatch(message);
    }
    expect(await list()).toEqual([]);
  });

  test("an unknown template is 404 with those there are, and makes nothing", async () => {
    const response = await create({ template: "nope" });
    expect(response.statusCode).toBe(404);
    expect(response.json()).toMatchObject({ error: { field: "template", message: /"nope".*minimal/ } });
    expect(await list()).toEqual([]);
  });

  test("a failure is the answer and stays on the row", async () => {
    cp.agent.answers.createCapsule = () => {
      throw toConnectError(new WrennError("host_disk_full", "free space below WRENN_DIR"));
    };
    const response = await create();
    expect(response.statusCode).toBe(503);
    expect(response.headers["retry-after"]).toBeDefined();
    expect(response.json()).toMatchObject({ error: { code: "host_disk_full" } });
    expect(await list()).toMatchObject([{ status: "error", reason: "host_disk_full" }]);
  });

  test("without its host it is 503, and the row says why", async () => {
    await cp.agent[Symbol.asyncDispose]();
    const response = await create();
    expect(response.statusCode).toBe(503);
    expect(response.json()).toMatchObject({
      error: { code: "host_unavailable", message: expect.stringContaining(cp.agent.address) },
    });
    expect(await list()).toMatchObject([{ status: "error", reason: "host_unavailable" }]);
  });

  test("on a host that is removed meanwhile is 503, and the row says why", async () => {
    cp.agent.answers.describeHost = async () => {
      await cp.request("DELETE", `/v1/hosts/${cp.hostId}`);
      return { epoch: "1", agentVersion: "9", templates: ["minimal"] };
    };
    const response = await create();
    expect(response.statusCode).toBe(503);
    expect(response.json()).toMatchObject({ error: { code: "host_unavailable", message: /was removed/ } });
    expect(await list()).toMatchObject([{ status: "error", reason: "host_unavailable" }]);
  });

  test("without any host says so, and makes nothing", async () => {
    await cp.request("DELETE", `/v1/hosts/${cp.hostId}`);
    expect((await create()).json()).toMatchObject({ error: { code: "host_unavailable" } });
    expect(await list()).toEqual([]);
  });

  describe("on several hosts", () => {
    const full = () => {
      throw toConnectError(new WrennError("host_full", "no room"));
    };

    test("tries the next when one is full, each once, the one with the fewest first", async () => {
      const [second, third] = [await cp.newHost(), await cp.newHost()];
      await cp.runningCapsule();
      await cp.runningCapsule();
      await cp.runningCapsule(second.id);
      const asked: string[] = [];
      const made = cp.agent.answers;
      second.agent.answers.createCapsule = () => {
        asked.push("second");
        return full();
      };
      third.agent.answers.createCapsule = () => {
        asked.push("third");
        return full();
      };
      cp.agent.answers = {
        ...made,
        createCapsule: (request, context) => {
          asked.push("first");
          return made.createCapsule?.(request, context) ?? {};
        },
      };
      const response = await create();
      expect(response.statusCode).toBe(201);
      expect(asked).toEqual(["third", "second", "first"]);
      const [row] = await cp.settling.store.findMany([response.json<Capsule>().id]);
      expect(row).toMatchObject({ host_id: cp.hostId, state: "running", generation: 1n });

      cp.agent.answers.createCapsule = full;
      const refused = await create();
      expect(refused.statusCode).toBe(503);
      expect(refused.json()).toMatchObject({ error: { code: "host_full" } });
      const rows = (await list()).filter(({ state }) => state === "error");
      expect(rows).toMatchObject([{ reason: "host_full" }]);
    });

    test("goes to one that has the template, and not to the next when a host fails otherwise", async () => {
      const other = await cp.newHost();
      await cp.runningCapsule();
      other.agent.answers.createCapsule = () => {
        throw toConnectError(new WrennError("image_corrupt", "not an image"));
      };
      expect((await create()).json()).toMatchObject({ error: { code: "image_corrupt" } });
      other.agent.answers.describeHost = () => ({ epoch: "1", agentVersion: "9", templates: ["other"] });
      await other.told([], { address: other.agent.address, epoch: 2 });
      expect((await create()).statusCode).toBe(201);
      const unknown = (await create({ template: "nope" })).json<ErrorBody>();
      expect(unknown.error.message).toMatch(/there is (other, minimal|minimal, other)/);
    });
  });

  test("goes on when the client leaves", async () => {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<void>();
    cp.agent.answers.createCapsule = async ({ capsuleId }) => {
      asked.resolve();
      await answer.promise;
      return { capsule: { id: capsuleId, state: "running" } };
    };
    const url = await cp.api.listen({ host: "127.0.0.1", port: 0 });
    const headers = { "x-api-key": cp.apiKey };
    const client = httpRequest(`${url}/v1/capsules`, { method: "POST", headers }).end();
    const left = new Promise<void>((resolve) => client.on("error", () => {}).on("close", resolve));
    await asked.promise;
    client.destroy();
    await left;
    expect(await list()).toMatchObject([{ status: "starting" }]);
    answer.resolve();
    await cp.settling.operations[Symbol.asyncDispose]();
    expect(await list()).toMatchObject([{ status: "running" }]);
  });
});

describe("destroying", () => {
  test("stops it, keeps it readable, and can be repeated", async () => {
    const { id } = (await create()).json<Capsule>();
    for (let time = 0; time < 2; time += 1) {
      const response = await cp.request("DELETE", `/v1/capsules/${id}`);
      expect(response.statusCode).toBe(204);
      expect(response.body).toBe("");
    }
    expect(await shown(cp, id)).toMatchObject({ status: "stopped", reason: "destroyed" });
    expect(await list()).toEqual([]);
  });

  test("commands a newer generation, from any state, and by many at once", async () => {
    const generations = new Set<bigint>();
    cp.agent.answers.destroyCapsule = ({ generation }) => {
      generations.add(generation);
      return {};
    };
    const id = await cp.runningCapsule();
    const all = await Promise.all(
      Array.from({ length: 6 }, () => cp.request("DELETE", `/v1/capsules/${id}`)),
    );
    expect(all.map(({ statusCode }) => statusCode)).toEqual(Array(6).fill(204));
    expect([...generations]).toEqual([2n]);
  });

  test("without its host it is 503, and stays to be finished", async () => {
    const id = await cp.runningCapsule();
    await cp.agent[Symbol.asyncDispose]();
    expect((await cp.request("DELETE", `/v1/capsules/${id}`)).statusCode).toBe(503);
    expect(await shown(cp, id)).toMatchObject({ state: "stopping" });
  });

  test("wins over a create under way", async () => {
    const asked = Promise.withResolvers<string>();
    const answer = Promise.withResolvers<void>();
    cp.agent.answers.createCapsule = async ({ capsuleId }) => {
      asked.resolve(capsuleId);
      await answer.promise;
      return { capsule: { id: capsuleId, state: "running" } };
    };
    const creating = create();
    const id = await asked.promise;
    expect((await cp.request("DELETE", `/v1/capsules/${id}`)).statusCode).toBe(204);
    answer.resolve();
    expect((await creating).json()).toMatchObject({ error: { code: "invalid_state" } });
    expect(await shown(cp, id)).toMatchObject({ status: "stopped" });
  });

  test("what is no id, and what there is not, is 404", async () => {
    for (const id of ["x", "cl%00", "cl0123456789012345678901234", "%2e%2e"]) {
      for (const method of ["GET", "DELETE"] as const) {
        expect((await cp.request(method, `/v1/capsules/${id}`)).statusCode, id).toBe(404);
      }
    }
  });
});
