import { createHash, randomBytes } from "node:crypto";

/**
 * `wrn_` and 64 hexadecimal digits. E2B's clients insist on a prefix of their own: `e2b_` and the same digits is
 * the same key.
 */
const spelling = /^(?:wrn|e2b)_([0-9a-f]{64})$/;

export function newApiKey(): string {
  return `wrn_${randomBytes(32).toString("hex")}`;
}

/** What is stored of a key: SHA-256, which suffices for 256 random bits. Undefined for text that is no key. */
export function apiKeyHash(text: string): Buffer | undefined {
  const digits = spelling.exec(text)?.[1];
  return digits === undefined ? undefined : createHash("sha256").update(`wrn_${digits}`).digest();
}
