import { isUtf8 } from "node:buffer";
import type { ExecResult } from "@wrenn/contracts/rest";

/** One output stream, up to a limit; what comes after is dropped, so memory is bounded whatever a guest writes. */
export class BoundedOutput {
  readonly #limitBytes: number;
  readonly #chunks: Uint8Array[] = [];
  #bytes = 0;
  #truncated = false;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  push(chunk: Uint8Array): void {
    const room = this.#limitBytes - this.#bytes;
    if (chunk.length > room) this.#truncated = true;
    if (room <= 0 || chunk.length === 0) return;
    const kept = chunk.subarray(0, room);
    this.#chunks.push(kept);
    this.#bytes += kept.length;
  }

  get truncated(): boolean {
    return this.#truncated;
  }

  /** What was kept. A cut in the middle of a character moves to before it, if the rest is UTF-8. */
  bytes(): Buffer {
    const all = Buffer.concat(this.#chunks);
    return this.#truncated ? withoutPartialCharacter(all) : all;
  }
}

/** Both streams as JSON can hold them: as text when both are UTF-8, else both as base64. */
export function encodeOutput(
  stdout: BoundedOutput,
  stderr: BoundedOutput,
): Pick<ExecResult, "stdout" | "stderr" | "encoding" | "truncated"> {
  const [out, err] = [stdout.bytes(), stderr.bytes()];
  const encoding = isUtf8(out) && isUtf8(err) ? "utf-8" : "base64";
  return {
    stdout: out.toString(encoding),
    stderr: err.toString(encoding),
    encoding,
    truncated: stdout.truncated || stderr.truncated,
  };
}

/** A character of UTF-8 has at most three continuation bytes (RFC 3629). */
const maxContinuationBytes = 3;

function withoutPartialCharacter(bytes: Buffer): Buffer {
  if (isUtf8(bytes)) return bytes;
  for (let cut = 1; cut <= maxContinuationBytes; cut += 1) {
    const shorter = bytes.subarray(0, bytes.length - cut);
    if (isUtf8(shorter)) return shorter;
  }
  return bytes;
}
