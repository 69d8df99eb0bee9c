import { randomBytes } from "node:crypto";

/** Kinds of things with an id, and the two letters their ids begin with. */
export const idPrefixes = {
  apiKey: "ak",
  capsule: "cl",
  controlPlane: "cp",
  disk: "dk",
  host: "hs",
  operation: "op",
  request: "rq",
  snapshot: "sn",
  team: "tm",
  user: "us",
} as const;

export type IdKind = keyof typeof idPrefixes;

const timeDigits = 9;
const randomDigits = 16;
const digits = "0123456789abcdefghijklmnopqrstuvwxyz";

/**
 * Makes an id: two letters of its kind, 9 base-36 digits of the time in milliseconds, 16 random ones (82 bits).
 * Ids of one kind sort by time of birth, and are DNS labels (RFC 1035: at most 63 letters and digits), because
 * a capsule's id is one.
 */
export function newId(kind: IdKind, now: number = Date.now()): string {
  return idPrefixes[kind] + now.toString(36).padStart(timeDigits, "0") + randomBase36(randomDigits);
}

/** Whether text has the shape of an id of that kind. Says nothing about its existence. */
export function isId(kind: IdKind, text: string): boolean {
  const length = idPrefixes[kind].length + timeDigits + randomDigits;
  return text.length === length && text.startsWith(idPrefixes[kind]) && /^[0-9a-z]+$/.test(text);
}

/** Uniform digits: bytes that would favour the low ones are drawn again. */
function randomBase36(count: number): string {
  const limit = 256 - (256 % digits.length);
  let text = "";
  while (text.length < count) {
    for (const byte of randomBytes(count)) {
      if (byte < limit && text.length < count) text += digits[byte % digits.length];
    }
  }
  return text;
}
