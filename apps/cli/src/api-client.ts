import { isErrorCode, WrennError } from "@wrenn/contracts";
import type { Capsule, ErrorBody, ExecBody, ExecResult, HostWithToken } from "@wrenn/contracts/rest";

/** The parts of the REST API that this program uses, as any other client would. */
export class ApiClient {
  readonly #url: string;
  readonly #apiKey: string;

  constructor(url: string, apiKey: string) {
    this.#url = url;
    this.#apiKey = apiKey;
  }

  async createCapsule(signal: AbortSignal): Promise<Capsule> {
    return (await this.#call("POST", "/v1/capsules", {}, signal)) as Capsule;
  }

  async exec(id: string, body: Partial<ExecBody>, signal: AbortSignal): Promise<ExecResult> {
    return (await this.#call("POST", `/v1/capsules/${id}/exec`, body, signal)) as ExecResult;
  }

  async destroyCapsule(id: string, signal: AbortSignal): Promise<void> {
    await this.#call("DELETE", `/v1/capsules/${id}`, undefined, signal);
  }

  /** A new host, and the token that its agent registers with. */
  async createHost(signal: AbortSignal): Promise<HostWithToken> {
    return (await this.#call("POST", "/v1/hosts", {}, signal)) as HostWithToken;
  }

  /** Whether the platform knows a host. */
  async hasHost(id: string, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#call("GET", `/v1/hosts/${encodeURIComponent(id)}`, undefined, signal);
      return true;
    } catch (error) {
      if (error instanceof WrennError && error.code === "not_found") return false;
      throw error;
    }
  }

  async #call(method: string, path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    const response = await fetch(`${this.#url}${path}`, {
      method,
      headers: {
        "x-api-key": this.#apiKey,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal,
    });
    const text = await response.text();
    if (response.ok) return text === "" ? undefined : JSON.parse(text);
    throw errorOf(response.status, text);
  }
}

function errorOf(status: number, text: string): WrennError {
  try {
    const { error } = JSON.parse(text) as ErrorBody;
    if (isErrorCode(error.code)) return new WrennError(error.code, error.message, { field: error.field });
  } catch {
    // Not an answer of the API: something else listens there.
  }
  return new WrennError("internal_error", `the control plane answered ${status}`);
}
