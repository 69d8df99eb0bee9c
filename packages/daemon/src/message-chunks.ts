/**
 * Of one message of an HTTP/2 stream. Node 24 does not give back a session's memory for a longer write that is cut
 * off; at 10 MB the session refuses every stream.
 */
const maxChunkBytes = 64 * 1024;

/** Cuts bytes into pieces that can be sent as one message each. Nothing is copied. */
export function* messageChunks(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let start = 0; start < bytes.length; start += maxChunkBytes) {
    yield bytes.subarray(start, start + maxChunkBytes);
  }
}
