import type { webcrypto } from "node:crypto";
import { WrennError } from "@wrenn/contracts";
import { keyAlgorithm } from "./certificates.ts";
import { Pkcs10CertificateRequest } from "./x509.ts";

/**
 * The public key of a PKCS #10 request, after a check that its sender holds the private one (RFC 2986, section 3).
 * Whatever else it asks for, names above all, is not granted: we say who it is.
 *
 * @throws {WrennError} `invalid_request`, saying what is wrong with it.
 */
export async function requestedKey(pem: string): Promise<webcrypto.CryptoKey> {
  const request = parse(pem);
  const { publicKey } = request;
  const signature = request.signatureAlgorithm as { name?: string; hash: { name: string } };
  const { name, namedCurve } = publicKey.algorithm as { name: string; namedCurve?: string };
  if (name !== keyAlgorithm.name || namedCurve !== keyAlgorithm.namedCurve) {
    throw refusal(`is for a key of ${describe(name, namedCurve)}; make one of ECDSA on P-256`);
  }
  if (signature.name !== "ECDSA" || !/^SHA-(256|384|512)$/.test(signature.hash.name)) {
    throw refusal("is signed with another algorithm than ECDSA with SHA-256");
  }
  const holdsKey = await request.verify().catch(() => false);
  if (!holdsKey) throw refusal("is not signed with the key that it is for");
  return publicKey.export();
}

function parse(pem: string): Pkcs10CertificateRequest {
  if (!/^\s*-----BEGIN (NEW )?CERTIFICATE REQUEST-----\s/.test(pem))
    throw refusal("is not a PKCS #10 request in PEM");
  try {
    return new Pkcs10CertificateRequest(pem);
  } catch (cause) {
    throw refusal("is not a PKCS #10 request in PEM", cause);
  }
}

function describe(name: string, curve: string | undefined): string {
  return curve === undefined ? name : `${name} on ${curve}`;
}

function refusal(what: string, cause?: unknown): WrennError {
  return new WrennError("invalid_request", `csr_pem ${what}`, { field: "csr_pem", cause });
}
