import { createHash } from "node:crypto";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { connect, type PeerCertificate } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Authority, type TlsMaterial } from "./authority/authority.ts";
import { makeAuthority } from "./authority/certificates.ts";
import { closeServer } from "./listen.ts";
import { startTestControlPlane, type TestControlPlane } from "./testing/control-plane.ts";
import { createHost, registration, testSpecs } from "./testing/host.ts";
import { startTestPostgres, type TestPostgres } from "./testing/postgres.ts";
import { makeSigningRequest } from "./testing/signing-request.ts";
import { listenTls, namesServed, type TlsListener } from "./tls-listener.ts";

let postgres: TestPostgres;
let cp: TestControlPlane;
let tls: TlsListener;
let base: string;
beforeAll(async () => {
  postgres = await startTestPostgres();
  cp = await startTestControlPlane(postgres);
  tls = await listenTls(cp.api, { host: "127.0.0.1", port: 0 }, cp.authority);
  base = `https://127.0.0.1:${tls.address.port}`;
});
afterAll(async () => {
  await closeServer(cp.api, tls);
  await cp[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

interface Answer {
  status: number | undefined;
  body: { error?: { code: string; message: string } } & Record<string, unknown>;
}

/** A request as an agent makes it: it believes the platform's authority, and shows what it has. */
async function ask(
  path: string,
  options: { body?: object; headers?: Record<string, string>; show?: Partial<TlsMaterial> } = {},
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const { body, headers, show } = options;
  const sent = request(`${base}${path}`, {
    method: body ? "POST" : "GET",
    headers: { ...headers, ...(body && { "content-type": "application/json" }) },
    ca: cp.authority.certificatePem,
    agent: false,
    ...(show?.cert && { cert: show.cert, key: show.key }),
  });
  sent.on("error", reject).on("response", (response) => {
    text(response).then(
      (answer) => resolve({ status: response.statusCode, body: JSON.parse(answer) }),
      reject,
    );
  });
  sent.end(body && JSON.stringify(body));
  return promise;
}

const report = (show?: Partial<TlsMaterial>, id = cp.hostId, token = cp.host.token) => {
  cp.host.revision += 1;
  const { epoch, revision } = cp.host;
  const sent_at = new Date().toISOString();
  const position = { epoch, revision, address: cp.agent.address, sent_at, capsules: [] };
  const headers = { "x-host-token": token };
  return ask(`/v1/hosts/${id}/report`, {
    body: { ...testSpecs, ...position },
    headers,
    ...(show && { show }),
  });
};

test("who knows only the fingerprint of the authority finds it in the chain, and can verify the rest by it", async () => {
  const { registration_token: token } = await createHost(cp.inject, cp.apiKey);
  const chain = await new Promise<PeerCertificate[]>((resolve, reject) => {
    const socket = connect({ host: "127.0.0.1", port: tls.address.port, rejectUnauthorized: false }, () => {
      const leaf = socket.getPeerCertificate(true);
      resolve([leaf, leaf.issuerCertificate]);
      socket.destroy();
    }).on("error", reject);
  });
  const digests = chain.map(({ raw }) => createHash("sha256").update(raw).digest("hex"));
  expect(digests).toContain(token.split(".")[2]);
  expect(chain[0]?.subjectaltname).toContain("DNS:control-plane.wrenn.internal");
  const answer = await ask("/v1/hosts/register", { body: await registration(token) });
  expect(answer.status).toBe(201);
});

test("the same API is served, to clients without a certificate too", async () => {
  expect(await ask("/ready")).toMatchObject({ status: 200, body: { status: "ok" } });
  const hosts = await ask("/v1/hosts", { headers: { "x-api-key": cp.apiKey } });
  expect(hosts.status).toBe(200);
  expect((await ask("/v1/capsules")).status).toBe(401);
});

describe("a report", () => {
  test("is taken with the host's own certificate, and without one", async () => {
    expect(await report(cp.host.identity)).toMatchObject({ status: 200, body: { full_wanted: false } });
    expect(await report()).toMatchObject({ status: 200 });
  });

  test("is refused with the certificate of another host, whatever the token", async () => {
    const other = await cp.newHost();
    const refused = await report(other.identity);
    expect(refused).toMatchObject({ status: 403, body: { error: { code: "identity_mismatch" } } });
    expect(refused.body.error?.message).toContain(other.id);
    expect(await report(cp.host.identity, other.id, cp.host.token)).toMatchObject({
      body: { error: { code: "identity_mismatch" } },
    });
  });

  test("is refused with a certificate of no host, or of another authority", async () => {
    const { cert, key } = cp.authority.own;
    expect(await report({ cert, key })).toMatchObject({
      body: { error: { code: "identity_mismatch", message: /of no host/ } },
    });
    const foreign = await Authority.open(await makeAuthority(), []);
    const { csrPem, keyPem } = await makeSigningRequest();
    const show = { cert: await foreign.issueForHost(cp.hostId, csrPem), key: keyPem };
    expect(await report(show)).toMatchObject({
      status: 403,
      body: { error: { code: "identity_mismatch", message: /not a valid one of this platform/ } },
    });
  });
});

test("a renewed certificate is shown to new connections", async () => {
  const shownNow = () =>
    new Promise<string>((resolve, reject) => {
      const options = { host: "127.0.0.1", port: tls.address.port, ca: cp.authority.certificatePem };
      const socket = connect(options, () => {
        resolve(socket.getPeerCertificate().serialNumber);
        socket.destroy();
      }).on("error", reject);
    });
  const before = await shownNow();
  await cp.authority.renewOwn(Date.now() + 21 * 24 * 3600_000);
  tls.renew();
  expect(await shownNow()).not.toBe(before);
});

test("the certificate names what is served", () => {
  expect(namesServed(undefined)).toEqual([]);
  expect(namesServed({ host: "10.0.0.5", port: 1 })).toEqual(["10.0.0.5"]);
  expect(namesServed({ host: "", port: 1 })).toEqual(expect.arrayContaining(["localhost", "127.0.0.1"]));
});

test("a port that is taken is named with its variable", async () => {
  await expect(listenTls(cp.api, tls.address, cp.authority)).rejects.toMatchObject({
    code: "port_in_use",
    message: /WRENN_CP_TLS_LISTEN_ADDR/,
  });
});
