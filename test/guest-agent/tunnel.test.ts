import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { type ClientHttp2Stream, constants } from "node:http2";
import { expect, test } from "vitest";
import type { Guest } from "./support/guest.ts";
import { eachTarget } from "./support/targets.ts";
import { startService } from "./support/tcp-service.ts";
import { openTunnel, read, requestTunnel, tunnelSession } from "./support/tunnel.ts";

const mib = 1024 * 1024;

/** How many descriptors of sockets the agent holds. */
async function socketsOf(guest: Guest): Promise<number> {
  return Number(await guest.output("ls -l /proc/$PPID/fd | grep -c 'socket:'", { user: "root" }));
}

function closed(stream: ClientHttp2Stream): AbortSignal {
  const abort = new AbortController();
  stream.once("close", () => abort.abort());
  return abort.signal;
}

/** Sends bytes that repeat a random block, and answers the hash of all. */
async function send(stream: ClientHttp2Stream, length: number): Promise<string> {
  const [block, hash, signal] = [randomBytes(64 * 1024), createHash("sha256"), closed(stream)];
  function* blocks(): Iterable<Buffer> {
    for (let sent = 0; sent < length; sent += block.length) {
      hash.update(block);
      yield block;
    }
  }
  // The other direction goes on.
  for (const piece of blocks()) if (!stream.write(piece)) await once(stream, "drain", { signal });
  stream.end();
  return hash.digest("hex");
}

async function hashOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of stream) hash.update(piece);
  return hash.digest("hex");
}

eachTarget((guest) => {
  test.for(["127.0.0.1", "::1", "own"])(
    "a service that listens on %s alone is reached",
    async (where, { skip }) => {
      await using stack = new AsyncDisposableStack();
      const families = await guest().output("cat /proc/net/if_inet6 2>/dev/null || true");
      skip(where === "::1" && !families, "this guest has no IPv6");
      const [own = ""] = (await guest().output("hostname -I 2>/dev/null || true")).split(" ");
      if (where === "own" && !own.trim()) await guest().output("ip addr add 198.51.100.7/32 dev lo");
      const address = where === "own" ? own.trim() || "198.51.100.7" : where;
      const { port } = await startService(stack, guest(), "echo", address);
      const stream = await openTunnel(stack, tunnelSession(stack, guest()), guest(), port);
      stream.end("hello");
      expect((await read(stream)).toString()).toBe("hello");
    },
  );

  test("a port that nothing listens on is refused with a clear code, at once", async () => {
    await using stack = new AsyncDisposableStack();
    const { status, stream } = await requestTunnel(tunnelSession(stack, guest()), guest(), 1);
    expect(status).toBe(502);
    expect(JSON.parse((await read(stream)).toString())).toEqual({
      code: 502,
      message: "port 1: nothing listens",
      port: 1,
      reason: "refused",
    });
  });

  test("what is not a tunnel is refused", async () => {
    const status = async (path: string, method = "POST", token: string | undefined = guest().token) =>
      (await guest().fetch(path, { method }, { token })).status;
    expect(await status("/tunnel/1", "POST", "wrong")).toBe(401);
    for (const port of ["", "0", "65536", "x", "1/"]) expect(await status(`/tunnel/${port}`)).toBe(400);
    expect(await status("/tunnel/1", "GET")).toBe(405);
  });

  test("64 MiB go both ways at once and arrive as they were", async () => {
    await using stack = new AsyncDisposableStack();
    const { port } = await startService(stack, guest(), "echo");
    const stream = await openTunnel(stack, tunnelSession(stack, guest()), guest(), port);
    const [sent, received] = await Promise.all([send(stream, 64 * mib), hashOf(stream)]);
    expect(received).toBe(sent);
  });

  test("each direction ends by itself", async () => {
    await using stack = new AsyncDisposableStack();
    const session = tunnelSession(stack, guest());
    const count = await startService(stack, guest(), "count");
    const counted = await openTunnel(stack, session, guest(), count.port);
    counted.end(Buffer.alloc(100_000));
    expect((await read(counted)).toString()).toBe("100000\n");

    const endsFirst = await startService(stack, guest(), "endsFirst");
    const longer = await openTunnel(stack, session, guest(), endsFirst.port);
    expect((await read(longer)).toString()).toBe("bye\n");
    await send(longer, 2 * mib);
    await endsFirst.followed.prints("stdout", `read ${2 * mib}\n`);
  });

  test("over HTTP/1.1 it is the same", async () => {
    await using stack = new AsyncDisposableStack();
    const { port } = await startService(stack, guest(), "echo");
    const request = httpRequest(`${guest().baseUrl}/tunnel/${port}`, {
      method: "POST",
      headers: guest().headers(),
    });
    request.flushHeaders();
    const [answer] = (await once(request, "response")) as [IncomingMessage];
    expect(answer.statusCode).toBe(200);
    for (const word of ["one", "two"]) {
      request.write(word);
      expect(String((await once(answer, "data"))[0])).toBe(word);
    }
    request.end();
    await once(answer, "end");
  });

  test("a failure on one side is one on the other, and never looks like an end", async () => {
    await using stack = new AsyncDisposableStack();
    const session = tunnelSession(stack, guest());
    const resets = await startService(stack, guest(), "resets");
    const failing = await openTunnel(stack, session, guest(), resets.port);
    failing.write("x");
    await expect(read(failing)).rejects.toThrow();
    expect(failing.rstCode).toBe(constants.NGHTTP2_INTERNAL_ERROR);

    const witness = await startService(stack, guest(), "witness");
    // As NO_ERROR, INTERNAL_ERROR and CANCEL.
    const reasons = [undefined, new Error("given up"), new DOMException("given up", "AbortError")];
    for (const [index, reason] of reasons.entries()) {
      const given = await openTunnel(stack, session, guest(), witness.port);
      given.write("x");
      given.on("error", () => {}).destroy(reason);
      await witness.followed.prints("stdout", "reset\n".repeat(index + 1));
    }
    const complete = await openTunnel(stack, session, guest(), witness.port);
    complete.end();
    await witness.followed.prints("stdout", "end\n");
  });

  test("services that do not read hold up nobody else, and as little memory as they may", async () => {
    await using stack = new AsyncDisposableStack();
    const session = tunnelSession(stack, guest());
    const deaf = await startService(stack, guest(), "deaf");
    for (let number = 0; number < 32; number += 1) {
      const stream = await openTunnel(stack, session, guest(), deaf.port);
      // Fails when the stream is given up, at the latest with the test.
      send(stream, 64 * mib).catch(() => {});
    }
    const { port } = await startService(stack, guest(), "echo");
    const stream = await openTunnel(stack, session, guest(), port);
    const [sent, received] = await Promise.all([send(stream, 4 * mib), hashOf(stream)]);
    expect(received).toBe(sent);
    const rss = Number(
      /VmRSS:\s+(\d+)/.exec(await guest().output("cat /proc/$PPID/status", { user: "root" }))?.[1],
    );
    expect(rss).toBeLessThan(32 * 1024);
  });

  test("many at once share a connection, up to a limit, and leave nothing", async () => {
    await guest().fetch("/health");
    const before = await socketsOf(guest());
    await using stack = new AsyncDisposableStack();
    const { port } = await startService(stack, guest(), "echo");
    const session = tunnelSession(stack, guest());
    const numbers = Array.from({ length: 128 }, (_, index) => index);
    const streams = await Promise.all(numbers.map(() => openTunnel(stack, session, guest(), port)));
    expect((await requestTunnel(session, guest(), port)).status).toBe(429);
    const answers = streams.map(async (stream, index) => {
      stream.end(`${index}`.repeat(1000));
      return (await read(stream)).toString();
    });
    expect(await Promise.all(answers)).toEqual(numbers.map((index) => `${index}`.repeat(1000)));
    await stack.disposeAsync();
    await expect.poll(() => socketsOf(guest())).toBeLessThanOrEqual(before);
  });
});
