import { createHash, randomBytes } from "node:crypto";
import { isId, WrennError } from "@wrenn/contracts";

export const registrationHours = 1;

/** Text of a registration token, `wrr_<host>.<secret>.<fingerprint of the authority>`. */
export function newRegistrationToken(hostId: string, fingerprint: string): string {
  return `wrr_${hostId}.${randomBytes(32).toString("base64url")}.${fingerprint}`;
}

/**
 * The host that a registration token is for. Whether it is one of ours, and still good, its hash tells.
 *
 * @throws {WrennError} `unauthorized` for what is no token, `identity_mismatch` for one of another platform.
 */
export function readRegistrationToken(text: string, fingerprint: string): string {
  const [, hostId, theirs] = /^wrr_([0-9a-z]{1,64})\.[A-Za-z0-9_-]{43}\.([0-9a-f]{64})$/.exec(text) ?? [];
  if (!hostId || !isId("host", hostId)) {
    const sentence = "token is not a registration token; copy all of the one that the platform issued, wrr_…";
    throw new WrennError("unauthorized", sentence, { field: "token" });
  }
  if (theirs !== fingerprint) {
    const sentence = "token is of another platform; issue one here: POST /v1/hosts";
    throw new WrennError("identity_mismatch", sentence, { field: "token" });
  }
  return hostId;
}

export function newHostToken(): string {
  return `wrh_${randomBytes(32).toString("hex")}`;
}

/** What is stored of a token: SHA-256, which suffices for 256 random bits. */
export function tokenHash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
