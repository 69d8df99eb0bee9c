import { X509Certificate } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@wrenn/daemon";
import type { ControlPlaneClient } from "./control-plane-client.ts";
import { checkHostCertificate } from "./credentials.ts";
import { makeCertificateRequest } from "./host-key.ts";
import type { HostIdentity } from "./identity.ts";

/** A timer that is longer than this would not notice that the machine slept or that its clock was set. */
const longestWaitMs = 60 * 60_000;
const retryMs = 5 * 60_000;

export interface RenewalOptions {
  readonly identity: HostIdentity;
  readonly client: ControlPlaneClient;
  /** Stores the renewed identity and puts it to use. */
  readonly adopt: (identity: HostIdentity) => Promise<void>;
  readonly logger: Logger;
}

/** When a certificate is renewed: when a third of its time is left. */
export function renewalTime(certificatePem: string): Date {
  const { validFrom, validTo } = new X509Certificate(certificatePem);
  const [from, to] = [Date.parse(validFrom), Date.parse(validTo)];
  return new Date(to - (to - from) / 3);
}

/** Renews this host's certificate in time, for as long as it is not disposed of. */
export class CertificateRenewal implements AsyncDisposable {
  readonly #options: RenewalOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #identity: HostIdentity;

  constructor(options: RenewalOptions) {
    this.#options = options;
    this.#identity = options.identity;
    this.#running = this.#run().catch(() => {});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const dueInMs = renewalTime(this.#identity.certificatePem).getTime() - Date.now();
      if (dueInMs > 0) await delay(Math.min(dueInMs, longestWaitMs), undefined, { signal });
      else if (!(await this.#renew(signal))) await delay(retryMs, undefined, { signal });
    }
  }

  /** Keeps the key: it has not left the host, and so only one file changes. */
  async #renew(signal: AbortSignal): Promise<boolean> {
    const { client, adopt, logger } = this.#options;
    const { hostId, keyPem } = this.#identity;
    try {
      const csrPem = await makeCertificateRequest(hostId, keyPem);
      const { certificate_pem: certificatePem } = await client.renew(hostId, { csr_pem: csrPem }, signal);
      checkHostCertificate(certificatePem, this.#identity);
      this.#identity = { ...this.#identity, certificatePem };
      await adopt(this.#identity);
      const { validTo } = new X509Certificate(certificatePem);
      logger.info({ validTo }, "renewed the host certificate");
      return renewalTime(certificatePem).getTime() > Date.now();
    } catch (error) {
      if (signal.aborted) return false;
      const { validTo } = new X509Certificate(this.#identity.certificatePem);
      logger.error({ err: error, validTo }, "cannot renew the host certificate; trying again");
      return false;
    }
  }
}
