import type { Readable } from "node:stream";
import { WrennError } from "@wrenn/contracts";

/** Bytes as they come, in pieces of any size. */
export type Content = AsyncIterable<Uint8Array>;

/**
 * Where snapshots lie that a host has no room for, by key. A key is names of lower-case letters, digits, dots and hyphens,
 * separated by slashes.
 */
export interface Archive {
  /** Keeps content, all of it or nothing; what was kept by that key is replaced. */
  put(key: string, content: Content, signal: AbortSignal): Promise<void>;
  /** @throws {WrennError} `not_found`. */
  get(key: string, signal: AbortSignal): Promise<Readable>;
  /** Deleting what is not there is fine. */
  delete(key: string): Promise<void>;
  /** Every key that begins with a prefix, which ends with a slash. */
  list(prefix: string): Promise<string[]>;
}

const name = "[a-z0-9][a-z0-9.-]{0,99}";
const keyPattern = new RegExp(`^${name}(/${name}){0,7}$`);

/** Whatever a key is made of, it leads nowhere else. @throws {WrennError} `invalid_request`. */
export function checkKey(key: string): void {
  if (keyPattern.test(key)) return;
  throw new WrennError("invalid_request", `${JSON.stringify(key)} is not a key of the archive`);
}
