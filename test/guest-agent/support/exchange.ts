import { once } from "node:events";
import { type IncomingHttpHeaders, request } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Caller, Guest } from "./guest.ts";

export interface Ask {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array>;
  readonly caller?: Caller;
}

/** An answer as it came over the wire: nothing is decoded. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** One request over a connection of its own; `fetch` would add headers and decode the answer. */
export async function exchange(guest: Guest, path: string, ask: Ask = {}): Promise<Answer> {
  const { method = "GET", headers = {}, body, caller = {} } = ask;
  const sent = request(`${guest.baseUrl}${path}`, {
    method,
    headers: { ...guest.headers(caller), ...headers },
    agent: false,
  });
  const answered = once(sent, "response");
  if (body === undefined || typeof body === "string" || body instanceof Uint8Array) sent.end(body);
  else pipeline(Readable.from(body), sent).catch(() => {}); // An answer may come early.
  const [response] = await answered;
  const pieces: Buffer[] = [];
  for await (const piece of response) pieces.push(piece);
  sent.destroy();
  return { status: response.statusCode, headers: response.headers, body: Buffer.concat(pieces) };
}

/** The path of `/files` with a query. */
export function filesPath(query: Readonly<Record<string, string>>): string {
  return `/files?${new URLSearchParams(query)}`;
}

/** Writes a file that must be written. */
export async function put(guest: Guest, path: string, content: Uint8Array | string): Promise<void> {
  const headers = { "content-type": "application/octet-stream" };
  const answer = await exchange(guest, filesPath({ path }), { method: "POST", headers, body: content });
  if (answer.status !== 200) throw new Error(`${path}: ${answer.status}: ${answer.body}`);
}
