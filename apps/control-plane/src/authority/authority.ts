import { createHash } from "node:crypto";
import { isIP } from "node:net";
import { createSecureContext, type SecureContext } from "node:tls";
import { exportKeyPem, hostDays, type Identity, issue, newKeyPair, ownDays } from "./certificates.ts";
import { controlPlaneName, hostName } from "./names.ts";
import { requestedKey } from "./signing-request.ts";
import type { JsonGeneralName } from "./x509.ts";

/** What one side of a TLS connection shows and believes, in PEM. */
export interface TlsMaterial {
  /** Our certificate and the authority's: who knows only the authority's fingerprint finds it in our chain. */
  cert: string;
  key: string;
  ca: string;
}

/** Signs the certificates of hosts, and holds our own. */
export class Authority {
  readonly certificatePem: string;
  /** SHA-256 of the certificate's DER, as registration tokens carry it: 64 hexadecimal digits. */
  readonly fingerprint: string;
  /** What our own certificate names beside every control plane's name. */
  readonly names: readonly string[];
  readonly #identity: Identity;
  #own: TlsMaterial;
  #ownSince: number;
  #context: SecureContext;

  private constructor(identity: Identity, names: readonly string[], own: TlsMaterial) {
    this.#identity = identity;
    this.names = names;
    this.certificatePem = pemOf(identity);
    this.fingerprint = createHash("sha256").update(Buffer.from(identity.certificate.rawData)).digest("hex");
    this.#own = own;
    this.#ownSince = Date.now();
    this.#context = secureContext(own);
  }

  /** @param names addresses and DNS names that this control plane serves at. */
  static async open(identity: Identity, names: readonly string[]): Promise<Authority> {
    return new Authority(identity, names, await makeOwn(identity, names));
  }

  /** Certificate for the key of a signing request, in PEM. @throws {WrennError} `invalid_request` */
  async issueForHost(hostId: string, csrPem: string): Promise<string> {
    const publicKey = await requestedKey(csrPem);
    const name = hostName(hostId);
    const names: JsonGeneralName[] = [{ type: "dns", value: name }];
    const certificate = await issue(this.#identity, { commonName: hostId, names, publicKey, days: hostDays });
    return `${certificate.toString("pem")}\n`;
  }

  /** Our own certificate and key, in memory alone. */
  get own(): TlsMaterial {
    return this.#own;
  }

  /** The same for connections that we make. */
  get clientContext(): SecureContext {
    return this.#context;
  }

  /** Remakes our own certificate when a third of its time is left. Answers whether it did. */
  async renewOwn(now = Date.now()): Promise<boolean> {
    if (now - this.#ownSince < (ownDays * 24 * 3600_000 * 2) / 3) return false;
    this.#own = await makeOwn(this.#identity, this.names);
    this.#context = secureContext(this.#own);
    this.#ownSince = now;
    return true;
  }
}

async function makeOwn(identity: Identity, names: readonly string[]): Promise<TlsMaterial> {
  const keys = await newKeyPair();
  const all = [...new Set([controlPlaneName, ...names])];
  const certificate = await issue(identity, {
    commonName: controlPlaneName,
    names: all.map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value })),
    publicKey: keys.publicKey,
    days: ownDays,
  });
  const ca = pemOf(identity);
  return { cert: `${certificate.toString("pem")}\n${ca}`, key: await exportKeyPem(keys.privateKey), ca };
}

function secureContext(own: TlsMaterial): SecureContext {
  return createSecureContext({ ...own, minVersion: "TLSv1.3" });
}

function pemOf({ certificate }: Identity): string {
  return `${certificate.toString("pem")}\n`;
}
