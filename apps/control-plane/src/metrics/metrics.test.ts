import { afterAll, beforeAll, expect, test } from "vitest";
import { startTestControlPlane, type TestControlPlane } from "../testing/control-plane.ts";
import { startTestPostgres, type TestPostgres } from "../testing/postgres.ts";

const metricsToken = "0123456789abcdef";
let postgres: TestPostgres;
let cp: TestControlPlane;
let closed: TestControlPlane;
beforeAll(async () => {
  postgres = await startTestPostgres();
  cp = await startTestControlPlane(postgres, { metricsToken });
  closed = await startTestControlPlane(postgres);
});
afterAll(async () => {
  await closed[Symbol.asyncDispose]();
  await cp[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

const look = (options: { remoteAddress?: string; headers?: Record<string, string> } = {}, at = cp) =>
  at.inject({ url: "/metrics", ...options });

test("requests, operations, reports, capsules, hosts and the pool are measured", async () => {
  cp.agent.answers = {
    createCapsule: ({ capsuleId, generation }) => ({
      capsule: { id: capsuleId, generation, state: "running" },
    }),
  };
  expect((await cp.request("POST", "/v1/capsules")).statusCode).toBe(201);
  await cp.request("POST", "/v1/capsules", { template: "none" });
  await cp.request("GET", "/v1/capsules/cl1");
  await cp.request("GET", "/v1/capsules/cl2");
  await cp.request("GET", "/nowhere");
  const { body, headers } = await look();
  expect(headers["content-type"]).toMatch(/^text\/plain; version=0\.0\.4/);
  for (const line of [
    'wrenn_http_requests_total{method="POST",route="/v1/capsules",status="201"} 1',
    // The pattern, not the path: whoever asks does not decide how many series there are.
    'wrenn_http_requests_total{method="GET",route="/v1/capsules/:id",status="404"} 2',
    'wrenn_http_requests_total{method="GET",route="none",status="404"} 1',
    'wrenn_http_request_duration_seconds_count{method="GET",route="/v1/capsules/:id"} 2',
    'wrenn_capsule_operations_total{kind="create",outcome="ok"} 1',
    'wrenn_capsule_operations_total{kind="create",outcome="not_found"} 1',
    'wrenn_capsule_operation_duration_seconds_count{kind="create"} 2',
    'wrenn_host_reports_total{outcome="full"} 1',
    'wrenn_capsules{state="running"} 1',
    'wrenn_capsules{state="starting"} 0',
    'wrenn_hosts{status="online"} 1',
    'wrenn_hosts{status="pending"} 0',
  ]) {
    expect(body).toContain(`\n${line}\n`);
  }
  expect(body).toMatch(/^wrenn_database_connections\{use="idle"\} \d+$/m);
  expect(body).not.toContain(cp.apiKey);
});

test("who is on this machine may look, unless it asks for somebody else", async () => {
  for (const remoteAddress of ["127.0.0.1", "::1", "::ffff:127.0.0.1"]) {
    expect((await look({ remoteAddress })).statusCode, remoteAddress).toBe(200);
  }
  for (const header of ["x-forwarded-for", "forwarded", "x-real-ip", "via"]) {
    expect((await look({ headers: { [header]: "127.0.0.1" } })).statusCode, header).toBe(404);
  }
});

test("others need the token, and without one there is no such thing", async () => {
  const remoteAddress = "10.0.0.9";
  const bearer = (token: string) => ({ remoteAddress, headers: { authorization: `Bearer ${token}` } });
  expect((await look(bearer(metricsToken))).statusCode).toBe(200);
  expect((await look({ remoteAddress })).statusCode).toBe(404);
  for (const wrong of ["x", `${metricsToken}x`, metricsToken.slice(1), cp.apiKey]) {
    expect((await look(bearer(wrong))).json(), wrong).toMatchObject({ error: { code: "unauthorized" } });
  }
  expect((await look({ remoteAddress }, closed)).statusCode).toBe(404);
  expect((await look(bearer(""), closed)).statusCode).toBe(404);
  expect((await look(bearer(metricsToken), closed)).statusCode).toBe(404);
});
