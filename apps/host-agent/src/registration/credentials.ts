import { createPrivateKey, X509Certificate } from "node:crypto";
import { WrennError } from "@wrenn/contracts";
import { hostName } from "./identity.ts";

/** SHA-256 of a certificate's DER, 64 hex digits. */
export function fingerprintOf(certificate: X509Certificate): string {
  return certificate.fingerprint256.replaceAll(":", "").toLowerCase();
}

/** A certificate from an answer. @throws {WrennError} `identity_mismatch` for text that is none. */
export function parseCertificate(pem: string, what: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw new WrennError("identity_mismatch", `the control plane sent no ${what}; check WRENN_CP_URL`, {
      cause,
    });
  }
}

/**
 * Checks that a certificate is for this host and its key, by the platform's authority. Nothing that fails here is
 * stored.
 *
 * @throws {WrennError} `identity_mismatch`
 */
export function checkHostCertificate(
  certificatePem: string,
  expected: { hostId: string; keyPem: string; caCertificatePem: string },
): void {
  const certificate = parseCertificate(certificatePem, "host certificate");
  const ca = parseCertificate(expected.caCertificatePem, "CA certificate");
  const problem = problemOf(certificate, ca, expected);
  if (problem === undefined) return;
  throw new WrennError("identity_mismatch", `the control plane sent a certificate that ${problem}`);
}

function problemOf(
  certificate: X509Certificate,
  ca: X509Certificate,
  { hostId, keyPem }: { hostId: string; keyPem: string },
): string | undefined {
  if (!certificate.checkPrivateKey(createPrivateKey(keyPem))) return "is of another key";
  if (!certificate.checkIssued(ca) || !certificate.verify(ca.publicKey)) return "is of another authority";
  if (!certificate.checkHost(hostName(hostId), { subject: "never" })) return `is not for host ${hostId}`;
  return undefined;
}
