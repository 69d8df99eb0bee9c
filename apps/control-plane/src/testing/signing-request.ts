import { webcrypto } from "node:crypto";
import { exportKeyPem } from "../authority/certificates.ts";
import { Pkcs10CertificateRequestGenerator } from "../authority/x509.ts";

export interface SigningRequest {
  csrPem: string;
  keyPem: string;
}

const p256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A PKCS #10 request as an agent makes it, or with another algorithm or key than the one it is signed with. */
export async function makeSigningRequest(
  algorithm: webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams = p256,
  forged = false,
): Promise<SigningRequest> {
  const make = () =>
    webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as Promise<webcrypto.CryptoKeyPair>;
  const { publicKey, privateKey } = await make();
  const signer = forged ? (await make()).privateKey : privateKey;
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: "CN=control-plane.wrenn.internal",
    keys: { publicKey, privateKey: signer },
    signingAlgorithm: { ...algorithm, hash: "SHA-256" },
  });
  return { csrPem: request.toString("pem"), keyPem: await exportKeyPem(privateKey) };
}
