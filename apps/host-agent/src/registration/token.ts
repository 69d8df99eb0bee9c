import { createHash } from "node:crypto";
import { isId, WrennError } from "@wrenn/contracts";

/** What a host registers with: once, within an hour. */
export interface RegistrationToken {
  /** As the control plane gave it; a secret. */
  readonly text: string;
  readonly hostId: string;
  /** SHA-256 of the DER of the platform's CA certificate, 64 hex digits: whom to trust at the first contact. */
  readonly caFingerprint: string;
}

const spelling = /^wrr_([0-9a-z]+)\.[A-Za-z0-9_-]{43}\.([0-9a-f]{64})$/;

/** @throws {WrennError} `config_invalid`; the message does not repeat the token. */
export function parseRegistrationToken(text: string): RegistrationToken {
  const match = spelling.exec(text.trim());
  const [, hostId = "", caFingerprint = ""] = match ?? [];
  if (isId("host", hostId)) return { text: text.trim(), hostId, caFingerprint };
  throw new WrennError(
    "config_invalid",
    "the registration token is malformed; it is the whole `registration_token` that POST /v1/hosts answers: wrr_….….…",
  );
}

/** Tells tokens apart without keeping one. */
export function tokenDigest(token: RegistrationToken): string {
  return createHash("sha256").update(token.text).digest("hex");
}
