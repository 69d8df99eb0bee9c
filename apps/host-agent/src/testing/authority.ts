import "reflect-metadata";
import { randomUUID, webcrypto, X509Certificate } from "node:crypto";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "@peculiar/x509";
import { fingerprintOf } from "../registration/credentials.ts";
import { hostName } from "../registration/identity.ts";

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const dayMs = 86_400_000;

export interface Issued {
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface Names {
  readonly dns?: readonly string[];
  readonly ip?: readonly string[];
}

/** A platform's certificate authority, for tests of what trusts one. */
export class Authority {
  readonly certificatePem: string;
  readonly fingerprint: string;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(certificatePem: string, keys: webcrypto.CryptoKeyPair) {
    this.certificatePem = certificatePem;
    this.fingerprint = fingerprintOf(new X509Certificate(certificatePem));
    this.#keys = keys;
  }

  static async make(): Promise<Authority> {
    const keys = await makeKeys();
    const certificate = await X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: "CN=Test authority",
      keys,
      signingAlgorithm: algorithm,
      ...validity(3650 * dayMs),
      extensions: [new BasicConstraintsExtension(true, 0, true)],
    });
    return new Authority(certificate.toString("pem"), keys);
  }

  /** A certificate with a key of its own, as a server or client of the platform has. */
  async issue(names: Names, lifetimeMs = 30 * dayMs): Promise<Issued> {
    const keys = await makeKeys();
    const der = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey));
    const keyPem = `-----BEGIN PRIVATE KEY-----\n${der.toString("base64")}\n-----END PRIVATE KEY-----\n`;
    return { certificatePem: await this.#sign(keys.publicKey, names, lifetimeMs), keyPem };
  }

  /** Answers a host's certificate request. */
  async sign(csrPem: string, hostId: string, lifetimeMs = 90 * dayMs): Promise<string> {
    const request = new Pkcs10CertificateRequest(csrPem);
    if (!(await request.verify())) throw new Error("the request is not signed by its key");
    return await this.#sign(await request.publicKey.export(), { dns: [hostName(hostId)] }, lifetimeMs);
  }

  async #sign(
    publicKey: webcrypto.CryptoKey,
    { dns = [], ip = [] }: Names,
    lifetimeMs: number,
  ): Promise<string> {
    const certificate = await X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      issuer: "CN=Test authority",
      publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: algorithm,
      ...validity(lifetimeMs),
      extensions: [
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
        new SubjectAlternativeNameExtension([
          ...dns.map((value) => ({ type: "dns" as const, value })),
          ...ip.map((value) => ({ type: "ip" as const, value })),
        ]),
      ],
    });
    return certificate.toString("pem");
  }
}

async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as webcrypto.CryptoKeyPair;
}

function serialNumber(): string {
  return `1${randomUUID().replaceAll("-", "")}`;
}

function validity(lifetimeMs: number): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - 3_600_000), notAfter: new Date(Date.now() + lifetimeMs) };
}
