import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";

/** SHA-256 of a file's contents in hex. */
export async function fileDigest(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/** SHA-256 of a text, as UTF-8, in hex. */
export function textDigest(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** SHA-256 in hex over the parts with their boundaries: ["ab", "c"] and ["a", "bc"] differ. */
export function combinedDigest(parts: readonly string[]): string {
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex");
}

/** The length of a digest where people see it: in file names. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 12);
}
