import { createHash, X509Certificate } from "node:crypto";
import { isId, newId } from "@wrenn/contracts";
import type {
  ErrorBody,
  Host,
  HostCredentials,
  HostWithToken,
  RegisterHostBody,
} from "@wrenn/contracts/rest";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestControlPlane, type TestControlPlane } from "../testing/control-plane.ts";
import { createHost, registration } from "../testing/host.ts";
import { startTestPostgres, type TestPostgres } from "../testing/postgres.ts";
import { makeSigningRequest } from "../testing/signing-request.ts";

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

const create = () => createHost(cp.inject, cp.apiKey);

async function register(token: string, changes: Partial<RegisterHostBody> = {}) {
  const payload = await registration(token, changes);
  return cp.inject({ method: "POST", url: "/v1/hosts/register", payload });
}

async function refusal(token: string, changes: Partial<RegisterHostBody> = {}) {
  const response = await register(token, changes);
  return { status: response.statusCode, ...response.json<ErrorBody>().error };
}

describe("an operator", () => {
  test("makes a host, sees it, issues another token for it, and removes it", async () => {
    const { host, registration_token } = await create();
    expect(isId("host", host.id)).toBe(true);
    expect(host).toMatchObject({
      type: "regular",
      status: "pending",
      reason: expect.stringMatching(/token/),
    });
    expect(registration_token).toMatch(new RegExp(`^wrr_${host.id}\\.[A-Za-z0-9_-]{43}\\.[0-9a-f]{64}$`));
    expect((await cp.request("GET", `/v1/hosts/${host.id}`)).json()).toEqual(host);
    expect((await cp.request("GET", "/v1/hosts")).json<Host[]>()).toContainEqual(host);

    const second = await cp.request("POST", `/v1/hosts/${host.id}/token`);
    expect(second.statusCode).toBe(201);
    expect(second.json<HostWithToken>().registration_token).not.toBe(registration_token);

    expect((await cp.request("DELETE", `/v1/hosts/${host.id}`)).statusCode).toBe(204);
    expect((await cp.request("GET", `/v1/hosts/${host.id}`)).statusCode).toBe(404);
    expect(await refusal(second.json<HostWithToken>().registration_token)).toMatchObject({
      code: "unauthorized",
    });
  });

  test("has a key of the platform's team; the key goes into either header", async () => {
    const strangers = { "x-api-key": await cp.strangersKey() };
    const ways = [
      { method: "GET", url: "/v1/hosts" },
      { method: "POST", url: "/v1/hosts" },
      { method: "GET", url: `/v1/hosts/${cp.hostId}` },
      { method: "POST", url: `/v1/hosts/${cp.hostId}/token` },
      { method: "DELETE", url: `/v1/hosts/${cp.hostId}` },
    ] as const;
    for (const way of ways) {
      const refused = await cp.inject({ ...way, headers: strangers });
      expect(refused.statusCode, way.url).toBe(403);
      expect(refused.json()).toMatchObject({ error: { code: "forbidden" } });
      expect((await cp.inject(way)).statusCode, way.url).toBe(401);
    }
    const headers = { authorization: `Bearer ${cp.apiKey}` };
    const payload = { type: "regular" };
    expect((await cp.inject({ method: "POST", url: "/v1/hosts", headers, payload })).statusCode).toBe(201);
  });

  test("is told which type there is, and which host there is not", async () => {
    const wrong = await cp.request("POST", "/v1/hosts", { type: "huge" });
    expect(wrong.json()).toMatchObject({ error: { code: "invalid_request", field: "type" } });
    for (const id of ["x", "hs%00", cp.hostId.replace(/.$/, (digit) => (digit === "a" ? "b" : "a"))]) {
      const gone = await cp.request("GET", `/v1/hosts/${id}`);
      expect(gone.json(), id).toMatchObject({ error: { code: "not_found", field: "id" } });
    }
  });

  test("cannot remove a host with capsules; those that have ended are not in the way", async () => {
    const host = await cp.newHost();
    const id = await cp.runningCapsule(host.id);
    const remove = () => cp.request("DELETE", `/v1/hosts/${host.id}`);
    const refused = await remove();
    expect(refused.statusCode).toBe(409);
    expect(refused.json()).toMatchObject({ error: { code: "conflict", message: /1 capsule;/ } });
    host.agent.answers.destroyCapsule = () => ({});
    await cp.request("DELETE", `/v1/capsules/${id}`);
    expect((await remove()).statusCode).toBe(204);
    expect((await cp.request("GET", `/v1/capsules/${id}`)).json()).toMatchObject({ status: "stopped" });
    expect((await host.report()).json()).toMatchObject({ error: { code: "unauthorized" } });
  });
});

describe("a host that does not come back", () => {
  const remove = (id: string, query: string) => cp.request("DELETE", `/v1/hosts/${id}${query}`);

  test("is removed by force, with all that is on it, and by nothing else", async () => {
    const host = await cp.newHost();
    const ids = [await cp.runningCapsule(host.id), await cp.runningCapsule(host.id)];
    const { kysely } = cp.database;
    await kysely
      .insertInto("snapshots")
      .values({
        ...{ id: newId("snapshot"), team_id: cp.teamId, name: "mine", host_id: host.id, state: "ready" },
        ...{ capsule_id: ids[0] ?? "", template: "minimal", vcpus: 1, memory_mib: 512 },
      })
      .execute();
    const reports = await remove(host.id, "?force=true");
    expect(reports.json()).toMatchObject({ error: { code: "conflict", field: "force" } });
    await sql`update hosts set last_report_at = null where id = ${host.id}`.execute(kysely);
    const occupied = await remove(host.id, "");
    expect(occupied.json()).toMatchObject({ error: { code: "conflict", message: /2 capsules and 1 snap/ } });
    expect((await remove(host.id, "?force=perhaps")).statusCode).toBe(400);
    expect((await remove(host.id, "?force=true")).statusCode).toBe(204);
    for (const id of ids) {
      const shown = (await cp.request("GET", `/v1/capsules/${id}`)).json();
      expect(shown).toMatchObject({ status: "stopped", reason: "host_removed" });
    }
    expect((await host.report()).json()).toMatchObject({ error: { code: "unauthorized" } });
  });
});

describe("a registration", () => {
  test("turns a token into an identity", async () => {
    const { host, registration_token: token } = await create();
    const response = await register(token, { address: "10.1.2.3:50051" });
    expect(response.statusCode).toBe(201);
    const credentials = response.json<HostCredentials>();
    expect(credentials.host).toMatchObject({ id: host.id, status: "unreachable", address: "10.1.2.3:50051" });
    expect(credentials.host).toMatchObject({ arch: "x64", cpu_cores: 8, memory_mb: 16_384, disk_gb: 100 });
    expect(credentials.token).toMatch(/^wrh_[0-9a-f]{64}$/);

    const authority = new X509Certificate(credentials.ca_certificate_pem);
    expect(createHash("sha256").update(authority.raw).digest("hex")).toBe(token.split(".")[2]);
    const certificate = new X509Certificate(credentials.certificate_pem);
    expect(certificate.verify(authority.publicKey)).toBe(true);
    expect(certificate.checkIssued(authority)).toBe(true);
    // Whatever the request asked to be called.
    expect(certificate.subjectAltName).toBe(`DNS:${host.id}.host.wrenn.internal`);
    expect(certificate.subject).toBe(`CN=${host.id}`);
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage?.sort()).toEqual(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    const days = (certificate.validToDate.getTime() - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(90);
  });

  test("uses its token once, whoever tries", async () => {
    const { registration_token: token } = await create();
    const tries = await Promise.all(Array.from({ length: 6 }, () => register(token)));
    expect(tries.filter(({ statusCode }) => statusCode === 201)).toHaveLength(1);
    const refused = tries.filter(({ statusCode }) => statusCode !== 201);
    for (const each of refused)
      expect(each.json()).toMatchObject({ error: { code: "token_used", field: "token" } });
  });

  test("refuses a token that is expired, replaced, of another platform, or none", async () => {
    const expired = await create();
    await sql`update registration_tokens set expires_at = now() where host_id = ${expired.host.id}`.execute(
      cp.database.kysely,
    );
    expect(await refusal(expired.registration_token)).toMatchObject({
      status: 401,
      code: "token_expired",
      message: expect.stringContaining(`POST /v1/hosts/${expired.host.id}/token`),
    });

    const replaced = await create();
    await cp.request("POST", `/v1/hosts/${replaced.host.id}/token`);
    expect(await refusal(replaced.registration_token)).toMatchObject({ status: 401, code: "unauthorized" });

    const good = (await create()).registration_token;
    const [head, secret, fingerprint] = good.split(".");
    const foreign = `${head}.${secret}.${"0".repeat(64)}`;
    expect(await refusal(foreign)).toMatchObject({ status: 403, code: "identity_mismatch", field: "token" });
    // The secret of one host's token, as another host's.
    const other = `wrr_${replaced.host.id}.${secret}.${fingerprint}`;
    expect(await refusal(other)).toMatchObject({ status: 401, code: "unauthorized", field: "token" });
    for (const malformed of [
      "",
      "wrr_",
      good.slice(0, -1),
      `${good} `,
      `x${good}`,
      good.toUpperCase(),
      "wrr_a.b.c",
    ]) {
      const refused = await refusal(malformed);
      expect(refused, malformed).toMatchObject({ status: 401, code: "unauthorized", field: "token" });
    }
    expect((await register(good)).statusCode).toBe(201);
  });

  test("refuses a request that is not one, of a weak key, or not signed with its key; the token stays good", async () => {
    const { registration_token: token } = await create();
    const rsa = {
      name: "RSASSA-PKCS1-v1_5",
      modulusLength: 1024,
      publicExponent: new Uint8Array([1, 0, 1]),
      hash: "SHA-256",
    };
    const { csrPem: good } = await makeSigningRequest();
    const wrong: [string, RegExp][] = [
      ["", /PKCS #10 request in PEM/],
      ["nonsense", /PKCS #10 request in PEM/],
      ["-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----", /PKCS #10/],
      [good.replace(/\n.{64}\n/, "\n"), /csr_pem/],
      [cp.authority.certificatePem, /PKCS #10/],
      [(await makeSigningRequest(rsa)).csrPem, /key of RSA.*P-256/],
      [(await makeSigningRequest({ name: "ECDSA", namedCurve: "P-384" })).csrPem, /ECDSA on P-384/],
      [(await makeSigningRequest(undefined, true)).csrPem, /not signed with the key/],
    ];
    for (const [csr_pem, message] of wrong) {
      const refused = await refusal(token, { csr_pem });
      expect(refused, csr_pem.slice(0, 60)).toMatchObject({
        status: 400,
        code: "invalid_request",
        field: "csr_pem",
        message,
      });
    }
    expect((await register(token, { csr_pem: good })).statusCode).toBe(201);
  });

  test("refuses an address that is none, a clock that is wrong, and a body that is too large", async () => {
    const { registration_token: token } = await create();
    for (const address of [
      "host:1",
      "10.0.0.1",
      "10.0.0.1:0",
      ":50051",
      "0.0.0.0:1",
      "[::]:1",
      "1.2.3:4",
      "-",
    ]) {
      const refused = await refusal(token, { address });
      expect(refused, address).toMatchObject({ status: 400, field: "address", message: /IP:PORT/ });
    }
    const late = new Date(Date.now() - 6 * 60_000).toISOString();
    expect(await refusal(token, { sent_at: late })).toMatchObject({
      status: 409,
      code: "clock_skew",
      message: expect.stringMatching(new RegExp(`${late.slice(0, 16)}.*control plane.*NTP`)),
    });
    expect(await refusal(token, { sent_at: "yesterday" })).toMatchObject({ status: 400, field: "sent_at" });
    expect(await refusal(token, { arch: "x".repeat(2 * 1024 * 1024) })).toMatchObject({
      status: 413,
      code: "payload_too_large",
    });
    expect(await refusal(token, { csr_pem: "x".repeat(9000) })).toMatchObject({
      status: 400,
      field: "csr_pem",
    });
    expect((await register(token, { address: "[::1]:50051" })).statusCode).toBe(201);
  });

  test("anew, of the same host, ends the credentials of before", async () => {
    const host = await cp.newHost();
    const { registration_token } = (
      await cp.request("POST", `/v1/hosts/${host.id}/token`)
    ).json<HostWithToken>();
    expect((await host.report()).statusCode).toBe(200);
    const again = (
      await register(registration_token, { address: host.agent.address })
    ).json<HostCredentials>();
    expect(again.host.id).toBe(host.id);
    const refused = await host.report();
    expect(refused.json()).toMatchObject({ error: { code: "unauthorized", message: /register again/ } });
    // Another life begins to count from one.
    host.token = again.token;
    expect((await host.report([], { epoch: 1, revision: 1 })).statusCode).toBe(200);
  });

  test("stores no secret", async () => {
    const { registration_token: token } = await create();
    const credentials = (await register(token)).json<HostCredentials>();
    const { rows } = await cp.database.pool.query(
      "select (select json_agg(h) from hosts h) hosts, (select json_agg(t) from registration_tokens t) tokens",
    );
    expect(JSON.stringify(rows)).not.toContain(token.split(".")[1]);
    expect(JSON.stringify(rows)).not.toContain(credentials.token);
  });
});

test("a certificate is renewed for who has the host's token", async () => {
  const renew = async (token: string, id = cp.hostId) =>
    cp.inject({
      method: "POST",
      url: `/v1/hosts/${id}/certificate`,
      headers: { "x-host-token": token },
      payload: { csr_pem: (await makeSigningRequest()).csrPem },
    });
  const renewed = await renew(cp.host.token);
  expect(renewed.statusCode).toBe(200);
  const certificate = new X509Certificate(renewed.json<HostCredentials>().certificate_pem);
  expect(certificate.subjectAltName).toBe(`DNS:${cp.hostId}.host.wrenn.internal`);
  expect((await renew(`wrh_${"0".repeat(64)}`)).json()).toMatchObject({ error: { code: "unauthorized" } });
  const other = await cp.newHost();
  expect((await renew(other.token)).json()).toMatchObject({
    error: { code: "identity_mismatch", message: expect.stringContaining(other.id) },
  });
});
