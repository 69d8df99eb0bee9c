import { once } from "node:events";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import type { Guest } from "./guest.ts";

/** One HTTP/2 connection to an agent, for any number of tunnels; closed with the stack. */
export function tunnelSession(stack: AsyncDisposableStack, guest: Guest): ClientHttp2Session {
  const session = connect(guest.baseUrl).on("error", () => {});
  stack.defer(() => session.destroy());
  return session;
}

/** The answer to a request for a tunnel; with status 200, `stream` is the tunnel. */
export async function requestTunnel(
  session: ClientHttp2Session,
  guest: Guest,
  port: number,
): Promise<{ status: number; stream: ClientHttp2Stream }> {
  const headers = { ":method": "POST", ":path": `/tunnel/${port}`, ...guest.headers() };
  const stream = session.request(headers, { endStream: false });
  const [answer] = (await once(stream, "response")) as [{ ":status": number }];
  return { status: answer[":status"], stream };
}

/** A tunnel that must open; given up at the latest with the stack. */
export async function openTunnel(
  stack: AsyncDisposableStack,
  session: ClientHttp2Session,
  guest: Guest,
  port: number,
): Promise<ClientHttp2Stream> {
  const { status, stream } = await requestTunnel(session, guest, port);
  if (status !== 200) throw new Error(`no tunnel to port ${port}: ${status} ${await read(stream)}`);
  stack.defer(async () => {
    stream.on("error", () => {}).close(8);
    if (!stream.destroyed) await once(stream, "close");
  });
  return stream;
}

/** Everything up to the end. */
export async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}
