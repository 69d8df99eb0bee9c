import type { Capsule, ExecBody, ExecResult } from "@wrenn/contracts/rest";
import type { PlatformAddress } from "./platform-process.ts";

/** A client of the REST API for tests: raw answers, and short cuts for what every suite does. */
export class Api {
  readonly platform: PlatformAddress;

  constructor(platform: PlatformAddress) {
    this.platform = platform;
  }

  /** One request; a plain object becomes JSON. */
  async call(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<Response> {
    const raw = body === undefined || typeof body === "string" || body instanceof FormData;
    return await fetch(`${this.platform.url}${path}`, {
      method,
      ...(signal && { signal }),
      headers: {
        "x-api-key": this.platform.apiKey,
        ...(body !== undefined && (!raw || typeof body === "string")
          ? { "content-type": "application/json" }
          : {}),
        ...headers,
      },
      ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
    });
  }

  /** A running capsule that is destroyed with the stack. */
  async capsule(stack: AsyncDisposableStack, body: Record<string, unknown> = {}): Promise<Capsule> {
    const response = await this.call("POST", "/v1/capsules", body);
    if (response.status !== 201)
      throw new Error(`create answered ${response.status}: ${await response.text()}`);
    const capsule = (await response.json()) as Capsule;
    stack.defer(async () => {
      await this.call("DELETE", `/v1/capsules/${capsule.id}`);
    });
    return capsule;
  }

  async exec(id: string, body: Partial<ExecBody>): Promise<ExecResult> {
    const response = await this.call("POST", `/v1/capsules/${id}/exec`, body);
    if (response.status !== 200)
      throw new Error(`exec answered ${response.status}: ${await response.text()}`);
    return (await response.json()) as ExecResult;
  }

  /** Runs a shell line. */
  async shell(id: string, line: string, body: Partial<ExecBody> = {}): Promise<ExecResult> {
    return await this.exec(id, { cmd: "/bin/sh", args: ["-c", line], ...body });
  }
}
