import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import { Http2SessionManager } from "@connectrpc/connect-node";

/**
 * Keeps one HTTP/2 session to a peer that may be anything.
 *
 * A session whose peer does not speak HTTP/2 emits `error` twice, and the library listens for the first: the second
 * would end our process. So every session has a listener of ours, that does nothing. And the library pings from a timer,
 * which may be due between a session's end and the event that says so: a ping throws then, where nobody catches it.
 */
export class GuardedSessions extends Http2SessionManager {
  readonly #guarded = new WeakSet<ClientHttp2Session>();

  override async request(
    ...parameters: Parameters<Http2SessionManager["request"]>
  ): Promise<ClientHttp2Stream> {
    const stream = await super.request(...parameters);
    const session = stream.session as ClientHttp2Session | undefined;
    if (session && !this.#guarded.has(session)) {
      this.#guarded.add(session);
      session.on("error", () => {});
      guardPing(session);
    }
    return stream;
  }
}

/** A ping of a session that has ended fails in its callback, as one does that was under way. */
export function guardPing(session: Pick<ClientHttp2Session, "destroyed" | "ping">): void {
  const ping = session.ping.bind(session) as (...parameters: unknown[]) => boolean;
  const guarded = (...parameters: unknown[]): boolean => {
    if (!session.destroyed) return ping(...parameters);
    const callback = parameters.at(-1);
    if (typeof callback === "function") callback(new Error("the session has ended"), 0, Buffer.alloc(0));
    return false;
  };
  session.ping = guarded as ClientHttp2Session["ping"];
}
