import { once } from "node:events";
import type { IncomingMessage } from "node:http";

/** Beyond this a client is told to send no more on its connection, which it may see as a connection that broke. */
const maxRestBytes = 256 * 1024 * 1024;
const maxRestMs = 15_000;

/**
 * Reads and drops what is left of a refused body. A client that still sends does not look for an answer yet, and its
 * next request on the connection would begin in the middle of this one.
 *
 * @returns whether the connection can be used again.
 */
export async function discardRest(body: IncomingMessage): Promise<boolean> {
  body.unpipe();
  if (body.readableEnded) return true;
  if (body.destroyed) return false;
  const enough = new AbortController();
  let dropped = 0;
  body.on("data", (chunk: Buffer) => {
    dropped += chunk.length;
    if (dropped > maxRestBytes) enough.abort();
  });
  body.once("close", () => enough.abort());
  const signal = AbortSignal.any([enough.signal, AbortSignal.timeout(maxRestMs)]);
  body.resume();
  return await once(body, "end", { signal }).then(
    () => true,
    () => false,
  );
}
