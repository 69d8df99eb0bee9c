import type { Http2SecureServer, Http2Session } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** How long calls may go on when the server closes. What runs for a capsule runs on without them. */
const finishMs = 3_000;

/**
 * Closes an HTTP/2 server whose peers may be anything. Calls under way get a moment to finish; then every connection
 * ends, also one that has not finished its handshake, and one whose peer does not close its half.
 */
export function closable(server: Http2SecureServer): AsyncDisposable {
  const sockets = new Set<Socket>();
  const sessions = new Set<Http2Session>();
  const calls = new Set<Promise<void>>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
    session.on("stream", (stream) => {
      const call = new Promise<void>((resolve) => stream.once("close", resolve)).finally(() =>
        calls.delete(call),
      );
      calls.add(call);
    });
  });
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const session of sessions) session.close();
      const timer = new AbortController();
      const late = delay(finishMs, undefined, { signal: timer.signal }).catch(() => {});
      await Promise.race([Promise.all(calls), late]);
      timer.abort();
      for (const socket of sockets) socket.destroySoon();
      await closed;
    },
  };
}
