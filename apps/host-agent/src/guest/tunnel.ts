import { once } from "node:events";
import type { ClientHttp2Stream } from "node:http2";
import { addAbortSignal, type Duplex } from "node:stream";
import { WrennError } from "@wrenn/contracts";
import type { GuardedSessions } from "@wrenn/daemon";
import { boundedText } from "../bounded-text.ts";
import { fromGuestError, fromGuestStatus } from "./guest-error.ts";

const maxErrorBodyBytes = 64 * 1024;

/**
 * Opens a connection to a TCP port of the guest, over the session that its agent is spoken to with. Each direction ends
 * by itself; a stream that is destroyed resets the service's connection, and one that the service resets fails.
 *
 * @param signal gives up the opening; the stream is then the caller's to destroy.
 * @throws {WrennError} `port_closed` when nothing listens on the port or what listens takes no connection.
 */
export async function openTunnel(
  sessions: GuardedSessions,
  port: number,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<Duplex> {
  let stream: ClientHttp2Stream | undefined;
  try {
    stream = await request(sessions, `/tunnel/${port}`, headers, signal);
    const status = await statusOf(stream, signal);
    if (status === 200) return stream;
    addAbortSignal(signal, stream);
    throw refusal(status, await boundedText(stream, maxErrorBodyBytes));
  } catch (error) {
    stream?.destroy();
    throw signal.aborted ? signal.reason : fromGuestError(error);
  }
}

/** The connection may have to be made first, and that cannot be given up: a stream that comes too late is destroyed. */
async function request(
  sessions: GuardedSessions,
  path: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<ClientHttp2Stream> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const opening = sessions.request("POST", path, headers, { endStream: false });
  // A failure that nobody listens for would end our process; whoever reads or writes hears of it anyway.
  opening.then((stream) => stream.on("error", () => {})).catch(() => {});
  try {
    return await Promise.race([opening, aborted]);
  } catch (error) {
    opening.then((stream) => stream.destroy()).catch(() => {});
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

async function statusOf(stream: ClientHttp2Stream, signal: AbortSignal): Promise<number> {
  const closed = new AbortController();
  const close = (): void => closed.abort(new WrennError("agent_error", "the guest agent gave up the tunnel"));
  stream.once("close", close);
  const options = { signal: AbortSignal.any([signal, closed.signal]) };
  const [answer] = (await once(stream, "response", options)) as [{ ":status": number }];
  stream.off("close", close);
  return answer[":status"];
}

function refusal(status: number, body: string): WrennError {
  const error = fromGuestStatus(status, body);
  return status === 502 ? new WrennError("port_closed", error.message) : error;
}
