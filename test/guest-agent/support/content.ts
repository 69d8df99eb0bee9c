import { createHash, type Hash } from "node:crypto";

export const MIB = 1 << 20;

/** Content of any size that is nowhere whole in memory: its pieces differ, and each is half random. */
export function* pieces(mebibytes: number): Generator<Buffer> {
  for (let index = 0; index < mebibytes; index += 1) {
    const half = createHash("shake256", { outputLength: MIB / 2 })
      .update(`${index}`)
      .digest();
    yield Buffer.concat([half, Buffer.alloc(MIB / 2, index)]);
  }
}

export function sha256(chunks: Iterable<Uint8Array>): string {
  const hash: Hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest("hex");
}
