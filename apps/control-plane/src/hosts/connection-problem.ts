import { errnoOf } from "@wrenn/contracts";

/** Codes of OpenSSL's verification as Node.js names them (doc/api/tls.md, "X509 certificate error codes"). */
const unverified = new Set([
  "CERT_SIGNATURE_FAILURE",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "INVALID_PURPOSE",
  "INVALID_CA",
]);

/** Of those that the library does not take for a connection that failed: errno(3). */
const unreachable = new Set([
  "ECANCELED",
  "ECONNABORTED",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "EPIPE",
]);

/** Whether a call failed because the peer is not there, or no more. */
export function isUnreachable(error: Error): boolean {
  return unreachable.has(codeOf(error) ?? "");
}

/** What is wrong with a peer that did not prove to be the one we wanted; undefined when that is not what failed. */
export function tlsProblem(error: Error): string | undefined {
  const code = codeOf(error);
  if (code === undefined) return undefined;
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return "shows the certificate of another host";
  if (code === "CERT_HAS_EXPIRED") return "shows a certificate that has expired; register it again";
  if (code === "CERT_NOT_YET_VALID") return "shows a certificate that is not valid yet; set its clock";
  if (unverified.has(code)) return "shows a certificate that is not of this platform";
  if (code.includes("_ALERT_")) return "does not let this control plane in";
  if (code === "EPROTO" || code.startsWith("ERR_SSL_")) return "does not speak TLS 1.3 as an agent does";
  return undefined;
}

/** The first code there is among an error and its causes. */
function codeOf(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const code = errnoOf(at);
    if (code !== undefined) return code;
  }
  return undefined;
}
