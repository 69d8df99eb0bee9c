import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { WrennError } from "@wrenn/contracts";
import { Filesystem } from "@wrenn/contracts/filesystem";
import { Process } from "@wrenn/contracts/process";
import { GuardedSessions } from "@wrenn/daemon";
import { type Dispatcher, Pool } from "undici";
import { boundedText } from "../bounded-text.ts";
import { fromGuestStatus } from "./guest-error.ts";

/** Longest error body, and longest message, that is read from a guest: it may send anything. */
const maxErrorBodyBytes = 64 * 1024;
const maxMessageBytes = 32 * 1024 * 1024;

/** What a machine becomes when it is claimed. Absent parts stay as they were in the snapshot. */
export interface GuestIdentity {
  readonly accessToken: string;
  readonly envVars?: Readonly<Record<string, string>>;
  readonly defaultUser?: string;
  readonly hostname?: string;
  /** 32 hex digits. */
  readonly machineId?: string;
  /** Base64, for the kernel's random pool. */
  readonly randomSeed?: string;
  /** RFC 3339, for the kernel's clock. */
  readonly timestamp?: string;
}

/** The host's connection to one guest agent: processes and files over Connect, bulk bytes over HTTP. */
export class GuestAgent implements AsyncDisposable {
  readonly processes: Client<typeof Process>;
  readonly filesystem: Client<typeof Filesystem>;
  readonly #http: Pool;
  readonly #sessions: GuardedSessions;
  #token: string;

  constructor(baseUrl: string, token: string) {
    this.#token = token;
    this.#http = new Pool(baseUrl, { connect: { timeout: 5_000 }, headersTimeout: 30_000, bodyTimeout: 0 });
    this.#sessions = new GuardedSessions(baseUrl, { idleConnectionTimeoutMs: 60_000 });
    const transport = this.#transport(baseUrl);
    this.processes = createClient(Process, transport);
    this.filesystem = createClient(Filesystem, transport);
  }

  /** Version of the guest agent, or undefined while it does not answer. */
  async health(signal: AbortSignal): Promise<string | undefined> {
    const response = await this.#http.request({ method: "GET", path: "/health", signal });
    await response.body.dump();
    const version = response.headers["x-envd-version"];
    return response.statusCode === 204 && typeof version === "string" ? version : undefined;
  }

  /** Makes the machine a computer of its own. From here on only the new token opens it. */
  async claim(identity: GuestIdentity, signal: AbortSignal): Promise<void> {
    await this.request({
      method: "POST",
      path: "/init",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(identity),
      signal,
    });
    this.#token = identity.accessToken;
  }

  /** One HTTP request to the guest agent. The caller reads the body of the answer, which is a success. */
  async request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
    const headers = { ...(options.headers as Record<string, string>), "x-access-token": this.#token };
    const response = await this.#http.request({ ...options, headers });
    if (response.statusCode < 300) return response;
    throw fromGuestStatus(response.statusCode, await boundedText(response.body, maxErrorBodyBytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sessions.abort();
    await this.#http.destroy();
  }

  #transport(baseUrl: string): Transport {
    return createConnectTransport({
      baseUrl,
      httpVersion: "2",
      sessionManager: this.#sessions,
      useBinaryFormat: true,
      readMaxBytes: maxMessageBytes,
      // The link is this machine's memory: compressing costs more than it saves.
      acceptCompression: [],
      interceptors: [
        (next) => (request) => {
          request.header.set("x-access-token", this.#token);
          // Signal numbers, offsets and gaps, which an E2B client would not expect.
          request.header.set("wrenn-extensions", "1");
          return next(request);
        },
      ],
    });
  }
}

/** Headers that make the guest agent act as a user; none for its default user. */
export function asUser(user: string | undefined): Record<string, string> {
  if (user === undefined) return {};
  if (user === "" || /[:\p{Cc}]/u.test(user)) {
    throw new WrennError("invalid_request", `user ${JSON.stringify(user)} is not a user name`, {
      field: "user",
    });
  }
  return { authorization: `Basic ${Buffer.from(`${user}:`).toString("base64")}` };
}
