import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { newId, toConnectError, WrennError } from "@wrenn/contracts";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { Authority } from "../authority/authority.ts";
import { makeAuthority } from "../authority/certificates.ts";
import { type ForeignAgent, startForeignAgent } from "../testing/foreign-agent.ts";
import { makeSigningRequest } from "../testing/signing-request.ts";
import { AgentClient, type HostClient } from "./agent-client.ts";

const hostId = newId("host");
let authority: Authority;
let stack: AsyncDisposableStack;
let peer: ForeignAgent;
let agent: AgentClient;
beforeAll(async () => {
  authority = await Authority.open(await makeAuthority(), []);
});
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  peer = stack.use(await startForeignAgent());
  peer.identify(await identityOf(hostId));
  agent = stack.use(new AgentClient(hostId, peer.address, authority));
});
afterEach(() => stack.disposeAsync());

/** What an agent has that this authority knows as this host. */
async function identityOf(id: string, by = authority) {
  const { csrPem, keyPem } = await makeSigningRequest();
  return { cert: await by.issueForHost(id, csrPem), key: keyPem, ca: by.certificatePem };
}

const describe = (client: HostClient) => client.describeHost({});
const read = (client: HostClient) => client.readFile({ capsuleId: "c", path: "/" });

test("a host is spoken to that has proven to be it, at whatever address", async () => {
  expect((await agent.call(describe)).agentVersion).toBe("9");
});

test("the certificate of another host is not taken for this one's", async () => {
  peer.identify(await identityOf(newId("host")));
  const refusal = { code: "agent_error", message: /shows the certificate of another host/ };
  await expect(agent.call(describe)).rejects.toMatchObject(refusal);
  await expect(agent.open(read)).rejects.toMatchObject(refusal);
});

test("a certificate of another authority is worth nothing, on either side", async () => {
  const foreign = await Authority.open(await makeAuthority(), []);
  peer.identify({ ...(await identityOf(hostId, foreign)), ca: authority.certificatePem });
  await expect(agent.call(describe)).rejects.toMatchObject({
    code: "agent_error",
    message: /shows a certificate that is not of this platform/,
  });

  peer.identify({ ...(await identityOf(hostId)), ca: foreign.certificatePem });
  const failure = await agent.call(describe).catch((error: unknown) => error);
  expect(["agent_error", "host_unavailable"]).toContain((failure as WrennError).code);
});

test("an agent that is away is named, and found again when it is back", async () => {
  await peer[Symbol.asyncDispose]();
  const refusal = { code: "host_unavailable", message: expect.stringContaining(peer.address) };
  await expect(agent.call(describe)).rejects.toMatchObject(refusal);
  await expect(agent.open(read)).rejects.toMatchObject(refusal);
});

test("an agent that dies while it is asked is away, not broken", async () => {
  peer.answers.describeHost = async () => {
    await peer[Symbol.asyncDispose]();
    return {};
  };
  await expect(agent.call(describe)).rejects.toMatchObject({ code: "host_unavailable" });
});

test("a host that has moved fails what is under way as unreachable, not as our own end", async () => {
  const never = Promise.withResolvers<never>();
  const begun = Promise.withResolvers<void>();
  peer.answers.describeHost = () => {
    begun.resolve();
    return never.promise;
  };
  const call = expect(agent.call(describe)).rejects.toMatchObject({ code: "host_unavailable" });
  await begun.promise;
  agent.abandon();
  await call;

  const other = stack.use(new AgentClient(hostId, peer.address, authority));
  const ended = expect(other.call(describe)).rejects.toMatchObject({ code: "shutting_down" });
  other[Symbol.dispose]();
  await ended;
});

test("something that is not an agent is told from one that is away", async () => {
  await using servers = new AsyncDisposableStack();
  const web = createServer((_request, response) => response.end("<html>"));
  servers.defer(() => new Promise<void>((resolve) => web.close(() => resolve())));
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const address = `127.0.0.1:${(web.address() as AddressInfo).port}`;
  const client = servers.use(new AgentClient(hostId, address, authority));
  await expect(client.call(describe)).rejects.toMatchObject({ code: "agent_error", message: /TLS 1.3/ });
});

test("what would say something else to our own caller is the host's trouble", async () => {
  for (const code of ["unauthorized", "identity_mismatch"] as const) {
    peer.answers.describeHost = () => {
      throw toConnectError(new WrennError(code, "not you"));
    };
    await expect(agent.call(describe)).rejects.toMatchObject({ code: "agent_error", message: /let .* in/ });
  }
});

test("codes of the catalogue pass, a defect of the agent does not become ours", async () => {
  const failWith = (error: unknown) => {
    peer.answers = {
      describeHost: () => {
        throw toConnectError(error);
      },
    };
    return agent.call(describe);
  };
  const full = new WrennError("host_disk_full", "free some space", { field: "x" });
  await expect(failWith(full)).rejects.toMatchObject({ code: "host_disk_full", field: "x" });
  await expect(failWith(new Error("a stack"))).rejects.toMatchObject({ code: "agent_error" });
});

test("a stream's first message comes with it, its last error where it is read", async () => {
  peer.answers = {
    async *readFile() {
      yield { chunk: Buffer.from("one") };
      yield { chunk: Buffer.from("two") };
      throw toConnectError(new WrennError("forbidden", "no more"));
    },
  };
  const stream = await agent.open(read);
  expect(Buffer.from(stream?.first.chunk ?? []).toString()).toBe("one");
  expect(Buffer.from((await stream?.rest.next())?.value?.chunk ?? []).toString()).toBe("two");
  await expect(stream?.rest.next()).rejects.toMatchObject({ code: "forbidden" });
});

test("our own certificate is remade before it ends, and new connections show it", async () => {
  const before = authority.own.cert;
  expect(await authority.renewOwn()).toBe(false);
  expect(await authority.renewOwn(Date.now() + 21 * 24 * 3600_000)).toBe(true);
  expect(authority.own.cert).not.toBe(before);
  expect((await agent.call(describe)).agentVersion).toBe("9");
});
