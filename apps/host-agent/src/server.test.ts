import { once } from "node:events";
import { connect } from "node:net";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { fromConnectError, newId, WrennError } from "@wrenn/contracts";
import { HostService } from "@wrenn/contracts/host";
import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AgentMetrics } from "./metrics/metrics.ts";
import { controlPlaneName, type HostIdentity, hostName } from "./registration/identity.ts";
import { type AgentServer, type ServerOptions, serve } from "./server.ts";
import { Authority, type Issued } from "./testing/authority.ts";

const hostId = newId("host");
let stack: AsyncDisposableStack;
let authority: Authority;
let server: AgentServer;
let metrics: AgentMetrics;
/** The call that is under way, and what it waits for. */
let destroying: PromiseWithResolvers<void>;
let held: PromiseWithResolvers<void>;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  authority = await Authority.make();
  metrics = new AgentMetrics();
  destroying = Promise.withResolvers();
  held = Promise.withResolvers();
  server = stack.use(await serve({ host: "127.0.0.1", port: 0 }, options()));
});
afterEach(() => stack.disposeAsync());

/** The least that DescribeHost needs: this suite is about who may call it. */
function options(): ServerOptions {
  return {
    capsules: {
      destroy: async () => {
        destroying.resolve();
        await held.promise;
      },
    },
    templates: { list: async () => ["minimal"] },
    vmm: { name: "simulated", version: "1" },
    epoch: "7",
    metrics,
    logger: makeLogger("server", "silent"),
  } as unknown as ServerOptions;
}

async function identityBy(signer: Authority): Promise<HostIdentity> {
  const issued = await signer.issue({ dns: [hostName(hostId)] });
  return {
    ...issued,
    hostId,
    token: "t",
    caCertificatePem: signer.certificatePem,
    address: "",
    registeredWith: "",
  };
}

function clientWith(own: Partial<Issued>, tls: object = {}): Client<typeof HostService> {
  const transport = createConnectTransport({
    httpVersion: "2",
    baseUrl: `https://127.0.0.1:${server.port}`,
    nodeOptions: {
      ca: authority.certificatePem,
      servername: hostName(hostId),
      ...(own.certificatePem ? { cert: own.certificatePem, key: own.keyPem } : {}),
      ...tls,
    },
  });
  return createClient(HostService, transport);
}

async function failureOf(client: Client<typeof HostService>): Promise<WrennError> {
  const error = await client.describeHost({}).catch((cause: unknown) => cause);
  return fromConnectError(error, (foreign) => new WrennError("host_unavailable", foreign.message));
}

test("the control plane gets in", async () => {
  server.useIdentity(await identityBy(authority));
  const client = clientWith(await authority.issue({ dns: [controlPlaneName] }));
  expect(await client.describeHost({})).toMatchObject({ epoch: "7", templates: ["minimal"] });
});

test("before there is an identity nobody gets in", async () => {
  const client = clientWith(await authority.issue({ dns: [controlPlaneName] }));
  expect(await failureOf(client)).toMatchObject({ code: "host_unavailable" });
});

test("another host of the platform is refused by name", async () => {
  server.useIdentity(await identityBy(authority));
  for (const dns of [
    hostName(newId("host")),
    hostName(hostId),
    "x.control-plane.wrenn.internal",
    "*.wrenn.internal",
  ]) {
    const failure = await failureOf(clientWith(await authority.issue({ dns: [dns] })));
    expect(failure).toMatchObject({ code: "identity_mismatch" });
  }
});

test("whoever has no certificate of the platform's authority does not get past the handshake", async () => {
  server.useIdentity(await identityBy(authority));
  const stranger = await (await Authority.make()).issue({ dns: [controlPlaneName] });
  for (const own of [{}, stranger]) {
    expect(await failureOf(clientWith(own))).toMatchObject({ code: "host_unavailable" });
  }
  const old = clientWith(await authority.issue({ dns: [controlPlaneName] }), { maxVersion: "TLSv1.2" });
  expect(await failureOf(old)).toMatchObject({ code: "host_unavailable" });
});

test("an expired certificate is refused", async () => {
  server.useIdentity(await identityBy(authority));
  const expired = await authority.issue({ dns: [controlPlaneName] }, -60_000);
  expect(await failureOf(clientWith(expired))).toMatchObject({ code: "host_unavailable" });
});

test("a renewed identity serves new connections, and leaves open ones alone", async () => {
  server.useIdentity(await identityBy(authority));
  const own = await authority.issue({ dns: [controlPlaneName] });
  const before = clientWith(own);
  await before.describeHost({});
  const first = authority;
  authority = await Authority.make();
  server.useIdentity(await identityBy(authority));
  await before.describeHost({});
  const after = clientWith(await authority.issue({ dns: [controlPlaneName] }));
  await after.describeHost({});
  const late = clientWith(own, { ca: first.certificatePem });
  expect(await failureOf(late)).toMatchObject({ code: "host_unavailable" });
});

test("operations on capsules are counted", async () => {
  server.useIdentity(await identityBy(authority));
  const client = clientWith(await authority.issue({ dns: [controlPlaneName] }));
  held.resolve();
  await client.destroyCapsule({
    capsuleId: newId("capsule"),
    generation: 1n,
    operationId: newId("operation"),
  });
  expect(await metrics.registry.metrics()).toMatch(
    /wrenn_operation_duration_seconds_count\{kind="destroy",outcome="ok"\} 1/,
  );
});

test("it ends although peers keep their connections, and lets a call under way finish", async () => {
  server.useIdentity(await identityBy(authority));
  const idle = connect({ host: "127.0.0.1", port: server.port });
  idle.on("error", () => {});
  await once(idle, "connect");
  const client = clientWith(await authority.issue({ dns: [controlPlaneName] }));
  await client.describeHost({});
  const call = client.destroyCapsule({ capsuleId: newId("capsule") });
  await destroying.promise;
  const ended = server[Symbol.asyncDispose]();
  held.resolve();
  await call;
  await ended;
});
