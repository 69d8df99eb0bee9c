import { createServer } from "node:net";
import { newId } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Authority } from "../testing/authority.ts";
import {
  credentials,
  type ForeignControlPlane,
  refusal,
  startForeignControlPlane,
} from "../testing/foreign-control-plane.ts";
import { checkHostCertificate } from "./credentials.ts";
import { makeCertificateRequest, makeHostKey } from "./host-key.ts";
import { registerHost } from "./register.ts";
import { parseRegistrationToken, tokenDigest } from "./token.ts";

let stack: AsyncDisposableStack;
beforeEach(() => {
  stack = new AsyncDisposableStack();
});
afterEach(() => stack.disposeAsync());

const logger = makeLogger("registration", "silent");
const specs = async () => ({
  address: "192.0.2.7:50051",
  arch: "x64",
  cpu_cores: 2,
  memory_mb: 4096,
  disk_gb: 10,
  agent_version: "1",
  sent_at: new Date().toISOString(),
});

function register(url: string, text: string, waitMs = 0, signal = new AbortController().signal) {
  return registerHost({ url, token: parseRegistrationToken(text), specs, signal, logger, waitMs });
}

describe.each([
  ["http to this machine", undefined],
  ["https", { ip: ["127.0.0.1"] }],
])("over %s", (_, names) => {
  let plane: ForeignControlPlane;
  beforeEach(async () => {
    plane = stack.use(await startForeignControlPlane(names ? { names } : {}));
  });

  test("a host gets an identity whose key it made itself", async () => {
    const hostId = newId("host");
    const text = plane.token(hostId);
    const identity = await register(plane.url, text);
    const registeredWith = tokenDigest(parseRegistrationToken(text));
    const caCertificatePem = plane.authority.certificatePem;
    expect(identity).toMatchObject({ hostId, registeredWith, caCertificatePem, address: "192.0.2.7:50051" });
    checkHostCertificate(identity.certificatePem, identity);
    expect(plane.requests).toHaveLength(1);
    expect(plane.requests[0]?.body).toMatchObject({ token: text, address: "192.0.2.7:50051", cpu_cores: 2 });
    expect(JSON.stringify(plane.requests)).not.toContain("PRIVATE KEY");
  });

  test("a control plane with another authority than the token names is refused, and over https gets no token", async () => {
    const text = plane.token(undefined, "ab".repeat(32));
    await expect(register(plane.url, text)).rejects.toMatchObject({
      code: "identity_mismatch",
      message: expect.stringContaining("the registration token names"),
    });
    expect(plane.requests).toHaveLength(names ? 0 : 1);
  });

  test.each(["token_used", "token_expired", "unauthorized", "clock_skew"])(
    "the control plane's refusal %s is told in its own words, at once",
    async (code) => {
      plane.answer = () => refusal(401, code, `because of ${code}`);
      const refused = register(plane.url, plane.token(), 60_000);
      await expect(refused).rejects.toMatchObject({ code, message: `because of ${code}` });
      expect(plane.requests).toHaveLength(1);
    },
  );
});

test("https by a name that the certificate does not have is refused", async () => {
  const plane = stack.use(await startForeignControlPlane({ names: { dns: ["cp.example.org"] } }));
  await expect(register(plane.url, plane.token())).rejects.toMatchObject({
    code: "identity_mismatch",
    message: expect.stringContaining("is not for 127.0.0.1"),
  });
  expect(plane.requests).toEqual([]);
});

test("a control plane that starts at the same time is waited for", async () => {
  const plane = stack.use(await startForeignControlPlane());
  let attempts = 0;
  plane.answer = () => {
    attempts += 1;
    if (attempts === 1) return refusal(503, "database_unavailable", "soon");
    return attempts === 2 ? { status: 502, body: "<html>" } : undefined;
  };
  await register(plane.url, plane.token(), 20_000);
  expect(attempts).toBe(3);
});

test("a control plane that is not there is named, with what to do", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  for (const scheme of ["http", "https"]) {
    const url = `${scheme}://127.0.0.1:${port}`;
    const text = `wrr_${newId("host")}.${"a".repeat(43)}.${"0".repeat(64)}`;
    await expect(register(url, text)).rejects.toMatchObject({
      code: "config_invalid",
      message: `the control plane at ${url} cannot be reached (ECONNREFUSED); start it, or set WRENN_CP_URL`,
    });
  }
});

test("something else that listens there is told from a control plane", async () => {
  const plane = stack.use(await startForeignControlPlane());
  plane.answer = () => ({ status: 404, body: "nginx" });
  await expect(register(plane.url, plane.token())).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringContaining("not as a control plane"),
  });
});

test("credentials that do not fit the token or the key are not accepted", async () => {
  const plane = stack.use(await startForeignControlPlane());
  const hostId = newId("host");
  const otherKey = await makeCertificateRequest(hostId, await makeHostKey());
  const stranger = await Authority.make();
  const csrOf = () => plane.requests.at(-1)?.body.csr_pem;
  const wrong: [string, () => Promise<object>][] = [
    ["is of another key", () => credentials(plane.authority, hostId, otherKey)],
    ["for host", () => credentials(plane.authority, newId("host"), csrOf())],
    [
      "is not for host",
      async () => ({
        ...(await credentials(plane.authority, hostId, csrOf())),
        certificate_pem: await plane.authority.sign(csrOf(), newId("host")),
      }),
    ],
    [
      "is of another authority",
      async () => ({
        ...(await credentials(plane.authority, hostId, csrOf())),
        certificate_pem: await stranger.sign(csrOf(), hostId),
      }),
    ],
    [
      "sent no host certificate",
      async () => ({ ...(await credentials(plane.authority, hostId, csrOf())), certificate_pem: "x" }),
    ],
  ];
  for (const [message, body] of wrong) {
    plane.answer = async () => ({ body: await body() });
    await expect(register(plane.url, plane.token(hostId))).rejects.toMatchObject({
      code: "identity_mismatch",
      message: expect.stringContaining(message),
    });
  }
});

test("an agent that is told to end gives up waiting", async () => {
  const plane = stack.use(await startForeignControlPlane());
  const controller = new AbortController();
  plane.answer = () => {
    controller.abort(new Error("ending"));
    return refusal(503, "shutting_down", "later");
  };
  await expect(register(plane.url, plane.token(), 60_000, controller.signal)).rejects.toThrow();
});
