import { createHash } from "node:crypto";
import { pipeline, type Readable } from "node:stream";
import { constants, createZstdCompress, createZstdDecompress } from "node:zlib";
import type { Content } from "../archive/archive.ts";

/** Fast: what a host waits for is its disk, and most of a memory is pages that hardly shrink, or zeroes. */
const compression = {
  params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 },
};

/** Compressed content, and what it was once all of it has been read. */
export interface Measured {
  readonly content: Content;
  /** Digest in hex and size of what has been read of the content. */
  measure(): { readonly sha256: string; readonly bytes: number };
}

export function compressed(from: Readable): Measured {
  return measured(pipeline(from, createZstdCompress(compression), () => {}));
}

/** Counts and digests content that is read through it. */
export function measured(from: Content): Measured {
  const hash = createHash("sha256");
  let bytes = 0;
  async function* content() {
    for await (const piece of from) {
      hash.update(piece);
      bytes += piece.length;
      yield piece;
    }
  }
  return { content: content(), measure: () => ({ sha256: hash.digest("hex"), bytes }) };
}

/** @throws an error of zlib's when it is not what was compressed. */
export function decompressed(from: Readable): Readable {
  return pipeline(from, createZstdDecompress(), () => {});
}
