import { setTimeout as delay } from "node:timers/promises";
import { WrennError } from "@wrenn/contracts";
import type { HostCredentials, RegisterHostBody } from "@wrenn/contracts/rest";
import type { Logger } from "@wrenn/daemon";
import { ControlPlaneClient } from "./control-plane-client.ts";
import { ControlPlaneUnreachable } from "./control-plane-unreachable.ts";
import { checkHostCertificate, fingerprintOf, parseCertificate } from "./credentials.ts";
import { makeCertificateRequest, makeHostKey } from "./host-key.ts";
import type { HostIdentity } from "./identity.ts";
import { fetchPinnedCa } from "./pinned-ca.ts";
import { type RegistrationToken, tokenDigest } from "./token.ts";

/** How long a control plane that does not answer is waited for: it may start at the same time. */
const waitMs = 30_000;
const firstRetryMs = 250;
const lastRetryMs = 5_000;

export interface RegisterOptions {
  readonly url: string;
  readonly token: RegistrationToken;
  /** What the host says of itself; made anew for each attempt, since it carries the time. */
  readonly specs: () => Promise<Omit<RegisterHostBody, "token" | "csr_pem">>;
  readonly signal: AbortSignal;
  readonly logger: Logger;
  /** Default: 30 s. */
  readonly waitMs?: number;
}

/**
 * Registers this host: a key is made here, and the control plane signs what proves it. Over https the control plane
 * has to show the authority that the token names.
 *
 * @throws {WrennError} the control plane's refusal, `config_invalid` when it cannot be reached, `identity_mismatch`.
 */
export async function registerHost(options: RegisterOptions): Promise<HostIdentity> {
  const { token, specs } = options;
  const keyPem = await makeHostKey();
  const csrPem = await makeCertificateRequest(token.hostId, keyPem);
  const attempt = async (): Promise<HostIdentity> => {
    const body = { token: token.text, csr_pem: csrPem, ...(await specs()) };
    const credentials = await exchange(options, body);
    return identityFrom(credentials, token, keyPem, body.address);
  };
  return await retried(attempt, options);
}

async function exchange(
  { url, token, signal }: RegisterOptions,
  body: RegisterHostBody,
): Promise<HostCredentials> {
  const caCertificatePem = url.startsWith("https:")
    ? await fetchPinnedCa(url, token.caFingerprint, signal)
    : undefined;
  await using client = new ControlPlaneClient(url, { caCertificatePem });
  return await client.register(body, signal);
}

/** Accepts credentials only when every part fits the token and the key. */
function identityFrom(
  credentials: HostCredentials,
  token: RegistrationToken,
  keyPem: string,
  address: string,
): HostIdentity {
  const { host, certificate_pem: certificatePem, ca_certificate_pem: caCertificatePem } = credentials;
  const { hostId } = token;
  if (host.id !== hostId) {
    throw new WrennError(
      "identity_mismatch",
      `the control plane answered for host ${host.id}, not ${hostId}`,
    );
  }
  const ca = parseCertificate(caCertificatePem, "CA certificate");
  if (fingerprintOf(ca) !== token.caFingerprint) {
    const sentence =
      "the control plane's certificate authority is not the one that the registration token names";
    throw new WrennError("identity_mismatch", `${sentence}; check WRENN_CP_URL`);
  }
  checkHostCertificate(certificatePem, { hostId, keyPem, caCertificatePem });
  const registeredWith = tokenDigest(token);
  return {
    hostId,
    token: credentials.token,
    keyPem,
    certificatePem,
    caCertificatePem,
    address,
    registeredWith,
  };
}

async function retried<T>(attempt: () => Promise<T>, options: RegisterOptions): Promise<T> {
  const { signal, logger } = options;
  const deadline = performance.now() + (options.waitMs ?? waitMs);
  for (let retryMs = firstRetryMs; ; retryMs = Math.min(retryMs * 2, lastRetryMs)) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!mayPass(error)) throw error;
      if (performance.now() + retryMs > deadline) throw givenUp(error);
      logger.warn({ err: error, retryMs }, "cannot register yet; trying again");
      await delay(retryMs, undefined, { signal });
    }
  }
}

function mayPass(error: unknown): error is Error {
  if (error instanceof ControlPlaneUnreachable) return true;
  return error instanceof WrennError && error.status === 503 && error.retryable;
}

function givenUp(error: Error): WrennError {
  if (error instanceof WrennError) return error;
  return new WrennError("config_invalid", `${error.message}; start it, or set WRENN_CP_URL`, {
    cause: error,
  });
}
