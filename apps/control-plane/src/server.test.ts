import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { setImmediate } from "node:timers/promises";
import { isId } from "@wrenn/contracts";
import type { ErrorBody } from "@wrenn/contracts/rest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestControlPlane, type TestControlPlane } from "./testing/control-plane.ts";
import { startTestPostgres, type TestPostgres } from "./testing/postgres.ts";

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

describe("an error", () => {
  const send = (payload: string, contentType = "application/json") =>
    cp.inject({
      method: "POST",
      url: "/v1/capsules",
      headers: { "x-api-key": cp.apiKey, "content-type": contentType },
      payload,
    });

  test("has one shape, with the id that the log has", async () => {
    const response = await send("{");
    expect(response.statusCode).toBe(400);
    const { error } = response.json<ErrorBody>();
    expect(error).toMatchObject({ code: "invalid_request", message: "the body is not valid JSON" });
    expect(error.request_id).toBe(response.headers["x-request-id"]);
    expect(isId("request", error.request_id ?? "")).toBe(true);
  });

  test("says what is wrong with a body before anything is made of it", async () => {
    const wrong: [string, string, number, string][] = [
      ["[1]", "application/json", 400, "invalid_request"],
      ["5", "application/json", 400, "invalid_request"],
      ['{"__proto__": {"x": 1}}', "application/json", 400, "invalid_request"],
      [`{"template": "${"x".repeat(1024 * 1024)}"}`, "application/json", 413, "payload_too_large"],
      ["template=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"],
    ];
    for (const [payload, type, status, code] of wrong) {
      const response = await send(payload, type);
      expect(response.statusCode, payload.slice(0, 40)).toBe(status);
      expect(response.json<ErrorBody>().error.code).toBe(code);
    }
  });

  test("is a 404 for what there is not, whatever it is called", async () => {
    for (const url of ["/", "/v1", "/v2/capsules", "/v1/capsules/x/y", "/%00", "/v1/capsules?x=%ff"]) {
      const response = await cp.inject({ method: "PUT", url });
      expect(response.statusCode, url).toBe(404);
      expect(response.json<ErrorBody>().error.code).toBe("not_found");
    }
    expect((await cp.inject({ url: "/%zz" })).statusCode).toBe(400);
  });

  test("that is a defect tells nothing but where to look", async () => {
    await cp.database.pool.query("ALTER TABLE capsules RENAME TO elsewhere");
    try {
      const response = await cp.request("GET", "/v1/capsules");
      expect(response.statusCode).toBe(500);
      expect(response.json<ErrorBody>().error.code).toBe("internal_error");
      expect(response.body).not.toMatch(/capsules|relation|sql/i);
    } finally {
      await cp.database.pool.query("ALTER TABLE elsewhere RENAME TO capsules");
    }
  });
});

test("a caller may name its request, if the name is fit for a log", async () => {
  const ask = async (id: string) =>
    (await cp.inject({ url: "/health", headers: { "x-request-id": id } })).headers["x-request-id"];
  expect(await ask("trace-1.2:3_A")).toBe("trace-1.2:3_A");
  for (const unfit of ["", "a b", "x".repeat(129), '{"a":1}']) {
    expect(isId("request", String(await ask(unfit))), unfit).toBe(true);
  }
});

describe("the description", () => {
  test("is OpenAPI 3.1 with an id, errors and an access rule for every operation", async () => {
    const document = (await cp.inject({ url: "/openapi.json" })).json();
    expect(document.openapi).toBe("3.1.0");
    const operations = Object.values<Record<string, Record<string, unknown>>>(document.paths).flatMap(
      (path) => Object.values(path),
    );
    const ids = operations.map(({ operationId }) => operationId);
    expect(ids.sort()).toEqual(
      [
        ...["createCapsule", "destroyCapsule", "exec", "getCapsule", "health", "listCapsules"],
        ...["pingCapsule", "updateCapsule"],
        ...["createSnapshot", "deleteSnapshot", "getSnapshot", "listSnapshots"],
        ...["listFiles", "readFile", "ready", "writeFile"],
        ...["createHost", "createRegistrationToken", "getHost", "listHosts", "removeHost"],
        ...["registerHost", "renewHostCertificate", "reportHost"],
        ...["forkCapsule", "hibernateCapsule", "pauseCapsule", "resumeCapsule"],
      ].sort(),
    );
    expect(Object.keys(document.components.securitySchemes)).toEqual(["apiKey", "bearer", "hostToken"]);
    for (const { operationId, responses, security } of operations) {
      if (security) continue; // says that it needs none
      expect(Object.keys(responses as object), String(operationId)).toEqual(
        expect.arrayContaining(["401", "503"]),
      );
    }
    for (const [, name] of JSON.stringify(document).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      expect(document.components.schemas, name).toHaveProperty([name ?? ""]);
    }
  });

  test("shows what errors look like, and that requests may carry a key", async () => {
    const { paths } = (await cp.inject({ url: "/openapi.json" })).json();
    const { parameters, responses } = paths["/v1/snapshots"].post;
    const refused = responses["409"].content["application/json"];
    expect(refused.schema).toEqual({ $ref: "#/components/schemas/Error" });
    expect(Object.keys(refused.examples).sort()).toEqual(
      ["conflict", "invalid_state", "name_taken", "request_in_progress"].sort(),
    );
    expect(refused.examples.name_taken.value.error).toMatchObject({ code: "name_taken", field: "name" });
    expect(parameters).toContainEqual(expect.objectContaining({ in: "header", name: "idempotency-key" }));
    for (const path of ["pause", "resume", "hibernate", "fork", "exec"]) {
      const named = paths[`/v1/capsules/{id}/${path}`].post.parameters as { name: string }[];
      expect(named.map(({ name }) => name)).toContain("idempotency-key");
    }
  });

  test("is a page that loads nothing from elsewhere", async () => {
    const page = await cp.inject({ url: "/docs/" });
    expect(page.statusCode).toBe(200);
    expect(page.headers["content-security-policy"]).toContain("default-src 'self'");
    expect(page.body).not.toMatch(/(src|href)\s*=\s*"(https?:)?\/\//);
    const script = /src="([^"]+)"/.exec(page.body)?.[1] ?? "";
    expect((await cp.inject({ url: `/docs/${script}` })).statusCode).toBe(200);
  });
});

test("going down, it finishes what is under way and refuses what has only begun to come", async () => {
  const other = await startTestControlPlane(postgres);
  await other.api.listen({ host: "127.0.0.1", port: 0 });
  const { port } = other.api.server.address() as AddressInfo;
  const goOn = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const id = await other.runningCapsule();
  other.agent.answers = {
    listDirectory: async () => {
      begun.resolve();
      await goOn.promise;
      return {};
    },
  };
  const body = '{"path":"/"}';
  const common = `Host: x\r\nX-API-Key: ${other.apiKey}\r\n`;
  const socket = connect(port, "127.0.0.1");
  const received = text(socket);
  socket.write(
    `POST /v1/capsules/${id}/files/list HTTP/1.1\r\n${common}` +
      `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  const half = connect(port, "127.0.0.1");
  const refused = text(half);
  half.write("GET /health HTTP/1.1\r\n");
  await begun.promise;
  const closing = other.api.close();
  while (other.api.server.listening) await setImmediate();
  await expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow();
  half.write("Host: x\r\n\r\n");
  expect(await refused).toMatch(/^HTTP\/1.1 503 .*"shutting_down"/s);
  goOn.resolve();
  expect(await received).toMatch(/^HTTP\/1.1 200 /);
  await closing;
  await other[Symbol.asyncDispose]();
});
