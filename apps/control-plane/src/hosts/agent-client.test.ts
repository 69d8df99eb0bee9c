import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toConnectError, WrennError } from "@wrenn/contracts";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type ForeignAgent, startForeignAgent } from "../testing/foreign-agent.ts";
import { AgentClient, type HostClient } from "./agent-client.ts";

let stack: AsyncDisposableStack;
let peer: ForeignAgent;
let tokenFile: string;
let agent: AgentClient;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-agent-client-"));
  stack.defer(() => rm(dir, { recursive: true }));
  peer = stack.use(await startForeignAgent());
  tokenFile = join(dir, "host-token");
  await writeFile(tokenFile, peer.token);
  agent = stack.use(new AgentClient(peer.url, tokenFile));
});
afterEach(() => stack.disposeAsync());

const describe = (client: HostClient) => client.describeHost({});
const read = (client: HostClient) => client.readFile({ capsuleId: "c", path: "/" });

test("a new token is read from its file when the old one is refused", async () => {
  expect((await agent.call(describe)).agentVersion).toBe("9");
  peer.token = "n".repeat(64);
  await writeFile(tokenFile, peer.token);
  expect((await agent.call(describe)).agentVersion).toBe("9");
});

test("a token that stays refused is the host's trouble, not the caller's", async () => {
  peer.token = "other";
  await expect(agent.call(describe)).rejects.toMatchObject({ code: "agent_error" });
  await expect(agent.open(read)).rejects.toMatchObject({ code: "agent_error" });
});

test("without a token the host is not up yet", async () => {
  await using early = new AsyncDisposableStack();
  const client = early.use(new AgentClient(peer.url, `${tokenFile}.none`));
  await expect(client.call(describe)).rejects.toMatchObject({ code: "host_unavailable" });
});

test("an agent that is away is named, and found again when it is back", async () => {
  await peer[Symbol.asyncDispose]();
  const refusal = { code: "host_unavailable", message: expect.stringContaining(peer.url) };
  await expect(agent.call(describe)).rejects.toMatchObject(refusal);
  await expect(agent.open(read)).rejects.toMatchObject(refusal);
});

test("something that is not an agent is told from one that is away", async () => {
  await using servers = new AsyncDisposableStack();
  const web = createServer((_request, response) => response.end("<html>"));
  servers.defer(() => new Promise<void>((resolve) => web.close(() => resolve())));
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  const client = servers.use(new AgentClient(url, tokenFile));
  const failure = await client.call(describe).catch((error: unknown) => error);
  expect(["agent_error", "host_unavailable"]).toContain((failure as WrennError).code);
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
