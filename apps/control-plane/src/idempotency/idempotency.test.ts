import { newId, toConnectError, WrennError } from "@wrenn/contracts";
import type { Capsule, ErrorBody } from "@wrenn/contracts/rest";
import type { LightMyRequestResponse } from "fastify";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { CapsuleStore } from "../capsules/store.ts";
import { noteAlive } from "../replicas/store.ts";
import type { TestControlPlane, TestReplica } from "../testing/control-plane.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";

let cp: TestControlPlane;
let asked: { id: string; generation: bigint }[];
withControlPlane((started) => {
  cp = started;
  asked = [];
  cp.agent.answers = {
    createCapsule: ({ capsuleId: id, generation }) => {
      asked.push({ id, generation });
      return { capsule: { id, generation, revision: 3n, state: "running" } };
    },
  };
});

interface Keyed {
  key?: string;
  apiKey?: string;
  payload?: object;
  via?: TestReplica;
}

const create = ({ key = "k", apiKey = cp.apiKey, payload = {}, via = cp }: Keyed = {}) =>
  via.inject({
    method: "POST",
    url: "/v1/capsules",
    headers: { "x-api-key": apiKey, "idempotency-key": key },
    payload,
  });
const count = async () => (await cp.request("GET", "/v1/capsules")).json<Capsule[]>().length;
const isReplayed = (response: LightMyRequestResponse) => response.headers["idempotency-replayed"] === "true";

describe("the same request with the same key", () => {
  test("has the same answer, byte for byte, and is done once", async () => {
    const first = await create({ payload: { timeout_sec: 60, metadata: { a: "1", b: "2" } } });
    expect(first.statusCode).toBe(201);
    expect(isReplayed(first)).toBe(false);
    const again = await create({ payload: { metadata: { b: "2", a: "1" }, timeout_sec: 60 } });
    expect(again.statusCode).toBe(201);
    expect(isReplayed(again)).toBe(true);
    expect(again.body).toBe(first.body);
    expect(again.headers["content-type"]).toBe(first.headers["content-type"]);
    expect(asked).toHaveLength(1);
  });

  test("has it from any control plane, and after a restart", async () => {
    const first = await create();
    await using replica = await cp.newReplica();
    const again = await create({ via: replica });
    expect(isReplayed(again)).toBe(true);
    expect(again.body).toBe(first.body);
    expect(await count()).toBe(1);
  });

  test("many at once are one", async () => {
    const all = await Promise.all(Array.from({ length: 10 }, () => create()));
    expect(new Set(all.map(({ body }) => body)).size).toBe(1);
    expect(all.filter((response) => !isReplayed(response))).toHaveLength(1);
    expect(asked).toHaveLength(1);
    expect(await count()).toBe(1);
  });

  test("a refusal is the answer, too", async () => {
    const [first, again] = [await create({ payload: { template: "nope" } }), undefined];
    expect(first.statusCode).toBe(404);
    cp.agent.answers.describeHost = () => ({ epoch: "1", templates: ["minimal", "nope"] });
    const second = again ?? (await create({ payload: { template: "nope" } }));
    expect(second.statusCode).toBe(404);
    expect(second.body).toBe(first.body);
  });

  test("a failure of ours is not: the next one does it", async () => {
    const works = cp.agent.answers.createCapsule;
    cp.agent.answers.createCapsule = () => {
      throw toConnectError(new WrennError("host_disk_full", "free space"));
    };
    expect((await create()).statusCode).toBe(503);
    Object.assign(cp.agent.answers, { createCapsule: works });
    const second = await create();
    expect(second.statusCode).toBe(201);
    expect(isReplayed(second)).toBe(false);
    expect((await create()).body).toBe(second.body);
  });

  test("is done although its client has gone", async () => {
    const begun = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    cp.agent.answers.createCapsule = async ({ capsuleId: id, generation }) => {
      asked.push({ id, generation });
      begun.resolve();
      await goOn.promise;
      return { capsule: { id, generation, state: "running" } };
    };
    const url = `${await cp.api.listen({ host: "127.0.0.1", port: 0 })}/v1/capsules`;
    const headers = { "x-api-key": cp.apiKey, "idempotency-key": "k" };
    const client = new AbortController();
    const gone = fetch(url, { method: "POST", headers, signal: client.signal }).catch(() => "gone");
    await begun.promise;
    client.abort();
    expect(await gone).toBe("gone");
    const second = create();
    goOn.resolve();
    expect((await second).statusCode).toBe(201);
    expect(asked).toHaveLength(1);
    expect(await count()).toBe(1);
  });
});

describe("a key", () => {
  test("that was used for another request is refused", async () => {
    await create();
    for (const payload of [{ timeout_sec: 1 }, { vcpus: 2 }]) {
      const other = await create({ payload });
      expect(other.statusCode).toBe(422);
      expect(other.json<ErrorBody>().error.code).toBe("idempotency_key_reused");
    }
    const url = "/v1/snapshots";
    const headers = { "x-api-key": cp.apiKey, "idempotency-key": "k" };
    const payload = { sandbox_id: newId("capsule") };
    expect((await cp.inject({ method: "POST", url, headers, payload })).statusCode).toBe(422);
    expect(await count()).toBe(1);
  });

  test("is refused while another request has it", async () => {
    const [one, other] = await Promise.all([create(), create({ payload: { timeout_sec: 5 } })]);
    expect([one.statusCode, other.statusCode].sort()).toEqual([201, 422]);
    expect(await count()).toBe(1);
  });

  test("is of its team", async () => {
    const [ours, theirs] = [await create(), await create({ apiKey: await cp.strangersKey() })];
    expect(isReplayed(theirs)).toBe(false);
    expect(theirs.json<Capsule>().id).not.toBe(ours.json<Capsule>().id);
  });

  test("is text that can be seen, of at most 255 characters", async () => {
    for (const key of ["", "a b", "x".repeat(256), "ä"]) {
      const response = await create({ key });
      expect(response.statusCode, key).toBe(400);
      expect(response.json<ErrorBody>().error.field).toBe("idempotency-key");
    }
    expect((await create({ key: "x".repeat(255) })).statusCode).toBe(201);
  });

  test("of a request that was refused as wrong is free", async () => {
    expect((await create({ payload: { vcpus: "1" } })).statusCode).toBe(400);
    expect((await create()).statusCode).toBe(201);
  });

  test("is forgotten after a day, but not while somebody works on it", async () => {
    const age = () =>
      sql`update idempotency_keys set created_at = now() - interval '25 hours'`.execute(cp.database.kysely);
    const first = await create();
    await age();
    const second = await create({ payload: { timeout_sec: 9 } });
    expect(second.statusCode).toBe(201);
    expect(second.body).not.toBe(first.body);
    await left({ by: await living() });
    await age();
    await cp.idempotency.forgetOld();
    const { rows } = await cp.database.pool.query("select key from idempotency_keys");
    expect(rows).toEqual([{ key: "left" }]);
  });
});

/** Another control plane that lives. */
async function living(): Promise<string> {
  const id = newId("controlPlane");
  await noteAlive(cp.database.kysely, id);
  return id;
}

/** A create with the key `left` as a control plane left it. */
async function left({ by = newId("controlPlane") }: { by?: string } = {}): Promise<string> {
  await create({ key: "left" });
  await cp.database.kysely.deleteFrom("capsules").execute();
  asked = [];
  const row = await cp.database.kysely
    .updateTable("idempotency_keys")
    .set({ status: null, body: null, operated_by: by })
    .where("key", "=", "left")
    .returning("made")
    .executeTakeFirstOrThrow();
  return row.made?.[0] ?? "";
}

describe("a request that another control plane has begun", () => {
  const again = () => create({ key: "left" });

  async function leftCapsule(state: "pending" | "starting" | "running" | "error"): Promise<string> {
    const by = newId("controlPlane");
    const id = await left({ by });
    const store = new CapsuleStore(cp.database.kysely, by);
    let row = await store.insert({
      id,
      teamId: cp.teamId,
      template: "minimal",
      vcpus: 1,
      memoryMib: 512,
      timeoutSec: 0,
    });
    if (state === "pending") return id;
    row = (await store.move(row, "starting", { hostId: cp.hostId })) ?? row;
    if (state === "running") await store.move(row, "running", { startedAt: new Date() });
    if (state === "error") await store.move(row, "error", { reason: "host_disk_full" });
    return id;
  }

  test("is under way while that lives", async () => {
    await left({ by: await living() });
    const response = await again();
    expect(response.statusCode).toBe(409);
    expect(response.headers["retry-after"]).toBeDefined();
    expect(response.json()).toMatchObject({ error: { code: "request_in_progress" } });
    expect(asked).toEqual([]);
  });

  test("is taken over when that has died, with the id that it had chosen", async () => {
    const id = await left();
    const response = await again();
    expect(response.statusCode).toBe(201);
    expect(response.json<Capsule>().id).toBe(id);
    expect(isReplayed(await again())).toBe(true);
    expect(await count()).toBe(1);
  });

  test("is taken over once by many", async () => {
    await left();
    await using replica = await cp.newReplica();
    const all = await Promise.all([again(), create({ key: "left", via: replica }), again()]);
    expect(all.map(({ statusCode }) => statusCode)).toSatisfy((statuses: number[]) =>
      statuses.every((status) => status === 201 || status === 409),
    );
    expect(asked).toHaveLength(1);
    expect(await count()).toBe(1);
  });

  test.for(["pending", "starting"] as const)("goes on with a capsule that is %s", async (state) => {
    const id = await leftCapsule(state);
    const response = await again();
    expect(response.statusCode).toBe(201);
    expect(response.json()).toMatchObject({ id, status: "running" });
    expect(asked).toEqual([{ id, generation: 1n }]);
  });

  test("answers with the capsule that it has made", async () => {
    const id = await leftCapsule("running");
    expect((await again()).json()).toMatchObject({ id, status: "running" });
    expect(asked).toEqual([]);
  });

  test("makes another when the first has failed", async () => {
    const id = await leftCapsule("error");
    const response = await again();
    expect(response.statusCode).toBe(201);
    expect(response.json<Capsule>().id).not.toBe(id);
    expect((await again()).body).toBe(response.body);
  });
});
