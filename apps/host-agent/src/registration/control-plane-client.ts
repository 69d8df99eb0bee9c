import { X509Certificate } from "node:crypto";
import { errnoOf, isErrorCode, WrennError } from "@wrenn/contracts";
import {
  Host,
  HostCertificate,
  type HostCredentials,
  HostCredentials as HostCredentialsSchema,
  HostReportAnswer,
  type HostReportBody,
  type RegisterHostBody,
  type RenewCertificateBody,
} from "@wrenn/contracts/rest";
import type { TSchema } from "typebox";
import { Check } from "typebox/value";
import { Agent, request } from "undici";
import { boundedText } from "../bounded-text.ts";
import { ControlPlaneUnreachable } from "./control-plane-unreachable.ts";
import { hostOf } from "./control-plane-url.ts";
import type { HostIdentity } from "./identity.ts";

/** Longer than a report takes whose address the control plane looks at first. */
const callTimeoutMs = 20_000;
const maxAnswerBytes = 1024 * 1024;

/** Whom to trust over https, and as whom to speak. */
export interface Trust {
  readonly caCertificatePem: string | undefined;
  readonly identity?: HostIdentity | undefined;
}

/** The routes of the control plane that are for hosts. */
export class ControlPlaneClient implements AsyncDisposable {
  readonly url: string;
  #agent: Agent;
  #token: string | undefined;

  constructor(url: string, trust: Trust) {
    this.url = url;
    this.#agent = agentFor(trust);
    this.#token = trust.identity?.token;
  }

  /** Speaks with other credentials from the next call on. */
  trust(trust: Trust): void {
    const previous = this.#agent;
    this.#agent = agentFor(trust);
    this.#token = trust.identity?.token;
    // Calls under way on it finish first.
    void previous.close();
  }

  async register(body: RegisterHostBody, signal: AbortSignal): Promise<HostCredentials> {
    return (await this.#post("/v1/hosts/register", body, HostCredentialsSchema, signal)) as HostCredentials;
  }

  async report(hostId: string, body: HostReportBody, signal: AbortSignal): Promise<HostReportAnswer> {
    const path = `/v1/hosts/${hostId}/report`;
    return (await this.#post(path, body, HostReportAnswer, signal)) as HostReportAnswer;
  }

  async renew(hostId: string, body: RenewCertificateBody, signal: AbortSignal): Promise<HostCertificate> {
    const path = `/v1/hosts/${hostId}/certificate`;
    return (await this.#post(path, body, HostCertificate, signal)) as HostCertificate;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  async #post(path: string, body: unknown, answer: TSchema, signal: AbortSignal): Promise<unknown> {
    const { status, text } = await this.#exchange(path, JSON.stringify(body), signal);
    const value = parseJson(text);
    if (status < 300 && Check({ Host }, answer, value)) return value;
    throw this.#refusal(status, value);
  }

  async #exchange(
    path: string,
    body: string,
    signal: AbortSignal,
  ): Promise<{ status: number; text: string }> {
    try {
      const response = await request(`${this.url}${path}`, {
        method: "POST",
        dispatcher: this.#agent,
        headers: {
          "content-type": "application/json",
          ...(this.#token === undefined ? {} : { "x-host-token": this.#token }),
        },
        body,
        signal: AbortSignal.any([signal, AbortSignal.timeout(callTimeoutMs)]),
      });
      return { status: response.statusCode, text: await boundedText(response.body, maxAnswerBytes) };
    } catch (cause) {
      signal.throwIfAborted();
      throw tlsRefusal(this.url, cause) ?? new ControlPlaneUnreachable(this.url, cause);
    }
  }

  /** The control plane's own error; anything else did not come from one. */
  #refusal(status: number, value: unknown): Error {
    const { code, message } = errorIn(value);
    if (isErrorCode(code)) return new WrennError(code, message);
    // What stands before it says so while it is away.
    if (status >= 500) return new ControlPlaneUnreachable(this.url, new Error(`status ${status}`));
    const sentence = `${this.url} answered ${status}, and not as a control plane; check WRENN_CP_URL`;
    return new WrennError("config_invalid", sentence);
  }
}

function agentFor({ caCertificatePem, identity }: Trust): Agent {
  const authority = caCertificatePem === undefined ? {} : { ca: caCertificatePem };
  // One that is over would be refused, while the token alone can still renew it.
  const own =
    identity && isCurrent(identity.certificatePem)
      ? { cert: identity.certificatePem, key: identity.keyPem }
      : {};
  return new Agent({ connections: 1, connect: { timeout: 5_000, ...authority, ...own } });
}

function isCurrent(certificatePem: string): boolean {
  return Date.parse(new X509Certificate(certificatePem).validTo) > Date.now();
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function errorIn(value: unknown): { code: string; message: string } {
  const body = typeof value === "object" && value !== null && "error" in value ? value.error : undefined;
  const { code, message } = (body ?? {}) as { code?: unknown; message?: unknown };
  return { code: typeof code === "string" ? code : "", message: typeof message === "string" ? message : "" };
}

/** OpenSSL's verdicts on a certificate, in words; undefined for any other failure. */
function tlsRefusal(url: string, cause: unknown): WrennError | undefined {
  switch (errnoOf(cause)) {
    case "CERT_NOT_YET_VALID":
    case "CERT_HAS_EXPIRED":
      return new WrennError(
        "clock_skew",
        `the certificate of ${url} is not valid at ${new Date().toISOString()}, by this host's clock; set the clock of both machines`,
        { cause },
      );
    case "ERR_TLS_CERT_ALTNAME_INVALID":
      return new WrennError(
        "identity_mismatch",
        `the certificate of ${url} is not for ${hostOf(url)}; set WRENN_CP_URL to a name it serves`,
        { cause },
      );
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "CERT_SIGNATURE_FAILURE":
      return new WrennError(
        "identity_mismatch",
        `${url} is not the control plane that this host registered with; check WRENN_CP_URL, or register again`,
        { cause },
      );
    default:
      return undefined;
  }
}
