import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, inject, test } from "vitest";
import { GuestAgent } from "./guest-agent.ts";

let stack: AsyncDisposableStack;
let guest: GuestAgent;
let endAgent: () => Promise<void>;

/** A guest agent without a guest: its services are this machine's. */
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const token = randomBytes(16).toString("hex");
  const digest = createHash("sha256").update(token).digest("hex");
  const agent = spawn(inject("envdBinary"), ["--listen", "127.0.0.1:0", "--token-sha256", digest], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const exited = once(agent, "exit");
  endAgent = async () => {
    agent.kill("SIGKILL");
    await exited;
  };
  stack.defer(endAgent);
  const [line] = await once(createInterface({ input: agent.stdout }), "line");
  guest = stack.use(new GuestAgent(`http://${/\S+$/.exec(line)?.[0]}`, token));
});

afterEach(() => stack.disposeAsync());

async function serve(take: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    take(socket);
  }).listen(0, "127.0.0.1");
  stack.defer(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, "close");
  });
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

const signal = AbortSignal.timeout(60_000);

test("what is written reaches the service, and each direction ends by itself", async () => {
  const port = await serve((socket) => {
    socket.write("first ");
    void text(socket).then((all) => socket.end(`read ${all}`));
  });
  const tunnel = await guest.openTunnel(port, signal);
  tunnel.end("hello");
  expect(await text(tunnel)).toBe("first read hello");
});

test("a port that nothing listens on is closed, and another is not", async () => {
  await expect(guest.openTunnel(1, signal)).rejects.toMatchObject({ code: "port_closed", retryable: true });
  await expect(guest.openTunnel(0, signal)).rejects.toMatchObject({ code: "invalid_request" });
});

test("a reset is one on the other side", async () => {
  const taken = Promise.withResolvers<Socket>();
  const port = await serve((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => taken.resolve(socket));
  });
  const failing = await guest.openTunnel(port, signal);
  failing.write("x");
  (await taken.promise).resetAndDestroy();
  await expect(text(failing)).rejects.toThrow();

  const lost = Promise.withResolvers<Error>();
  const other = await serve((socket) => {
    socket.on("error", lost.resolve).resume();
  });
  (await guest.openTunnel(other, signal)).destroy();
  expect(await lost.promise).toMatchObject({ code: "ECONNRESET" });
});

test("an opening that is given up leaves nothing", async () => {
  const port = await serve((socket) => socket.resume());
  const reason = new Error("enough");
  await expect(guest.openTunnel(port, AbortSignal.abort(reason))).rejects.toBe(reason);
});

test("an agent that goes fails its tunnels, and those that are asked for", async () => {
  const port = await serve((socket) => socket.on("error", () => {}).resume());
  const failing = await guest.openTunnel(port, signal);
  const failed = expect(text(failing)).rejects.toThrow();
  await endAgent();
  await failed;
  await expect(guest.openTunnel(port, signal)).rejects.toMatchObject({ code: "agent_error" });
});

test("a connection to an agent that is given up takes its tunnels along", async () => {
  const port = await serve((socket) => socket.on("error", () => {}).resume());
  const failing = await guest.openTunnel(port, signal);
  await guest[Symbol.asyncDispose]();
  await expect(text(failing)).rejects.toThrow();
});
