import type { Http2SecureServer, Http2Session, ServerHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** How long calls under way may take to finish when the server ends. */
const finishMs = 5_000;
/** How long peers may take to close connections on which nothing is under way. */
const farewellMs = 200;

/** The connections of a server, so that it can end: `close` alone waits for each peer to close its own. */
export class Connections {
  readonly #server: Http2SecureServer;
  readonly #sockets = new Set<Socket>();
  readonly #sessions = new Set<Http2Session>();
  readonly #streams = new Set<ServerHttp2Stream>();

  constructor(server: Http2SecureServer) {
    this.#server = server;
    server.on("connection", (socket: Socket) => track(this.#sockets, socket));
    server.on("session", (session) => track(this.#sessions, session));
    server.on("stream", (stream: ServerHttp2Stream) => track(this.#streams, stream));
  }

  /** Takes no new call, lets those under way finish, and cuts those that do not. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const session of this.#sessions) session.close();
    const finished = Promise.all([...this.#streams].map(ended));
    await within(finishMs, finished);
    await within(farewellMs, closed);
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

interface Closable {
  once(event: "close", listener: () => void): unknown;
}

function track<T extends Closable>(set: Set<T>, item: T): void {
  set.add(item);
  item.once("close", () => set.delete(item));
}

function ended(stream: Closable): Promise<void> {
  return new Promise((resolve) => {
    stream.once("close", () => resolve());
  });
}

async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  await Promise.race([work, delay(ms, undefined, { signal: timer.signal }).catch(() => {})]);
  timer.abort();
}
