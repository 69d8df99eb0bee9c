import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ListenAddress, lockDirectory } from "@wrenn/daemon";
import { expect, test } from "vitest";
import { contextOf } from "../testing/context.ts";
import { checkPorts } from "./ports.ts";

async function takenPort(stack: AsyncDisposableStack, answer: RequestListener): Promise<ListenAddress> {
  const server = createServer(answer).listen({ port: 0, host: "127.0.0.1" });
  await once(server, "listening");
  stack.defer(async () => void (await server[Symbol.asyncDispose]()));
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

test("free ports are fine", async () => {
  expect(await checkPorts(contextOf())).toMatchObject({ status: "ok" });
});

test("a port that somebody else has fails, and says who", async () => {
  await using stack = new AsyncDisposableStack();
  const cpListen = await takenPort(stack, (_request, response) => response.writeHead(404).end("{}"));
  const finding = await checkPorts(contextOf({ cpListen }));
  expect(finding).toMatchObject({ status: "failing", cure: expect.stringContaining("WRENN_CP_LISTEN_ADDR") });
  expect(finding.detail).toContain(`127.0.0.1:${cpListen.port}`);
  expect(finding.detail).toContain(`(pid ${process.pid})`);
});

test("a port that our own control plane has is fine", async () => {
  await using stack = new AsyncDisposableStack();
  const health = JSON.stringify({ status: "ok", version: "0.1.0" });
  const cpListen = await takenPort(stack, (_request, response) => response.end(health));
  expect(await checkPorts(contextOf({ cpListen }))).toMatchObject({
    status: "ok",
    detail: expect.stringContaining("our control plane's"),
  });
});

test("the agent's port is ours as long as an agent holds the directory", async () => {
  await using stack = new AsyncDisposableStack();
  const wrennDir = await mkdtemp(join(tmpdir(), "wrenn-ports-"));
  stack.defer(() => rm(wrennDir, { recursive: true }));
  const hostListen = await takenPort(stack, (_request, response) => response.end());
  expect((await checkPorts(contextOf({ wrennDir, hostListen }))).status).toBe("failing");
  stack.use(await lockDirectory(wrennDir, "agent"));
  expect((await checkPorts(contextOf({ wrennDir, hostListen }))).status).toBe("ok");
});

test("an address of another machine cannot be listened on", async () => {
  const finding = await checkPorts(contextOf({ cpListen: { host: "192.0.2.1", port: 8000 } }));
  expect(finding).toMatchObject({ status: "failing", detail: expect.stringContaining("no address of this") });
});
