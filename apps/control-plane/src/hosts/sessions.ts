import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { Http2SessionManager } from "@connectrpc/connect-node";

/** Notices a host that is gone without a word, also while nothing is asked of it. */
const keepAlive = { pingIntervalMs: 15_000, pingTimeoutMs: 10_000, pingIdleConnection: true };

/** The protocol's 64 KiB per stream would hold file transfers back, the more the farther the host is. */
const initialWindowSize = 1024 * 1024;

/**
 * Keeps one HTTP/2 session to a host.
 *
 * A session whose peer does not speak HTTP/2 emits `error` twice, and the library listens for the first: the second
 * would end our process. So every session has a listener of ours, that does nothing.
 */
export class HostSessions extends Http2SessionManager {
  readonly #guarded = new WeakSet<ClientHttp2Session>();

  constructor(address: string) {
    super(address, keepAlive, { settings: { initialWindowSize } });
  }

  override async request(
    ...parameters: Parameters<Http2SessionManager["request"]>
  ): Promise<ClientHttp2Stream> {
    const stream = await super.request(...parameters);
    const session = stream.session as ClientHttp2Session | undefined;
    if (session && !this.#guarded.has(session)) {
      this.#guarded.add(session);
      session.on("error", () => {});
    }
    return stream;
  }
}
