import "reflect-metadata";
import { createPrivateKey, createPublicKey, webcrypto } from "node:crypto";
import { Pkcs10CertificateRequestGenerator } from "@peculiar/x509";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A new private key for this host, PKCS #8 PEM. It never leaves the host. */
export async function makeHostKey(): Promise<string> {
  const { privateKey } = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", privateKey));
  return createPrivateKey({ key: der, format: "der", type: "pkcs8" }).export({
    format: "pem",
    type: "pkcs8",
  }) as string;
}

/** A certificate request (PKCS #10, RFC 2986) for a host's key, as PEM. */
export async function makeCertificateRequest(hostId: string, keyPem: string): Promise<string> {
  const { subtle } = webcrypto;
  const privateKey = createPrivateKey(keyPem);
  const pkcs8 = privateKey.export({ format: "der", type: "pkcs8" });
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  const keys = {
    privateKey: await subtle.importKey("pkcs8", pkcs8, algorithm, false, ["sign"]),
    publicKey: await subtle.importKey("spki", spki, algorithm, true, ["verify"]),
  };
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: `CN=${hostId}`,
    keys,
    signingAlgorithm: algorithm,
  });
  return request.toString("pem");
}
