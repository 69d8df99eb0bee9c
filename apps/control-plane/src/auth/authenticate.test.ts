import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestControlPlane, type TestControlPlane } from "../testing/control-plane.ts";
import { startTestPostgres, type TestPostgres } from "../testing/postgres.ts";
import { newApiKey } from "./api-key.ts";
import { noteKeyUse } from "./store.ts";

let postgres: TestPostgres;
let cp: TestControlPlane;
beforeAll(async () => {
  postgres = await startTestPostgres();
  cp = await startTestControlPlane(postgres);
});
afterAll(async () => {
  await cp[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

const get = (headers: Record<string, string>) => cp.inject({ method: "GET", url: "/v1/capsules", headers });

test("takes a key in every place and spelling that clients use", async () => {
  const e2b = cp.apiKey.replace("wrn_", "e2b_");
  const accepted: Record<string, string>[] = [
    { "x-api-key": cp.apiKey },
    { "X-API-KEY": e2b },
    { authorization: `Bearer ${cp.apiKey}` },
    { authorization: `bearer ${e2b}` },
  ];
  for (const headers of accepted) expect((await get(headers)).statusCode).toBe(200);
});

test("refuses everything else alike", async () => {
  const refused: Record<string, string>[] = [
    {},
    { "x-api-key": "" },
    { "x-api-key": newApiKey() },
    { "x-api-key": "wrn_'; drop table api_keys; --" },
    { authorization: cp.apiKey },
    { authorization: `Basic ${cp.apiKey}` },
    { "x-api-key": newApiKey(), authorization: `Bearer ${cp.apiKey}` },
  ];
  for (const headers of refused) {
    const response = await get(headers);
    expect(response.statusCode).toBe(401);
    expect(response.json()).toMatchObject({ error: { code: "unauthorized" } });
  }
});

test("what needs no key asks for none, and an unknown path is 404 whoever asks", async () => {
  for (const url of ["/health", "/ready", "/openapi.json"]) {
    expect((await cp.inject({ url })).statusCode, url).toBe(200);
  }
  expect((await cp.inject({ url: "/v1/nothing" })).statusCode).toBe(404);
});

test("another team's capsule does not exist", async () => {
  const id = await cp.runningCapsule();
  const headers = { "x-api-key": await cp.strangersKey() };
  const ways = [
    { method: "GET", url: `/v1/capsules/${id}` },
    { method: "DELETE", url: `/v1/capsules/${id}` },
    { method: "POST", url: `/v1/capsules/${id}/exec`, payload: { cmd: "true" } },
    { method: "POST", url: `/v1/capsules/${id}/files/read`, payload: { path: "/" } },
    { method: "POST", url: `/v1/capsules/${id}/files/list`, payload: { path: "/" } },
  ] as const;
  for (const way of ways) expect((await cp.inject({ ...way, headers })).statusCode, way.url).toBe(404);
  expect((await cp.inject({ url: "/v1/capsules", headers })).json()).toEqual([]);
});

test("use is noted, at most once a minute, and not in the request's way", async () => {
  const { kysely } = cp.database;
  await get({ "x-api-key": cp.apiKey });
  await cp.background[Symbol.asyncDispose]();
  const used = () => kysely.selectFrom("api_keys").select(["id", "last_used_at"]).orderBy("id").execute();
  const before = (await used())[0];
  expect(before?.last_used_at).toBeInstanceOf(Date);
  await noteKeyUse(kysely, before?.id ?? "");
  expect((await used())[0]).toEqual(before);
});

test("the key itself is stored nowhere", async () => {
  const rows = await cp.database.kysely.selectFrom("api_keys").selectAll().execute();
  expect(JSON.stringify(rows)).not.toContain(cp.apiKey.slice(4));
});
