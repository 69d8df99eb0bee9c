import { type Duplex, Readable } from "node:stream";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { WrennError } from "@wrenn/contracts";
import { Filesystem } from "@wrenn/contracts/filesystem";
import { Process } from "@wrenn/contracts/process";
import { GuardedSessions } from "@wrenn/daemon";
import { type Dispatcher, Pool } from "undici";
import { boundedText } from "../bounded-text.ts";
import { fromGuestStatus } from "./guest-error.ts";
import { openTunnel } from "./tunnel.ts";

/** Longest error body, and longest message, that is read from a guest: it may send anything. */
const maxErrorBodyBytes = 64 * 1024;
const maxMessageBytes = 32 * 1024 * 1024;

/** What a machine is told when it is claimed. */
export interface GuestIdentity {
  /** Opens its guest agent from then on. A computer that is resumed has it already. */
  readonly accessToken: string;
  /** Of a machine that has a kernel of its own; another one has no more than its token. */
  readonly computer?: Computer;
}

interface Restored {
  /** Larger than that of any restore that the machine's memory has seen. */
  readonly restoreEpoch: number;
  /** Base64, for the kernel's random pool. */
  readonly randomSeed: string;
}

type Computer = Restored &
  (
    | { readonly kind: "resume" }
    | {
        readonly kind: "boot" | "clone";
        readonly hostname: string;
        /** 32 hex digits. */
        readonly machineId: string;
      }
  );

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

  /**
   * Makes the machine the computer that it is to be: after that it has an identity, the time, and only that token opens it.
   * @throws {WrennError} `agent_error` when the guest refuses; it is then as it was.
   */
  async claim({ accessToken, computer }: GuestIdentity, signal: AbortSignal): Promise<void> {
    // A computer that goes on where it was has its token, and refuses to be told one.
    const token = computer?.kind === "resume" ? {} : { accessToken };
    // Read when the connection is there and not before, because a time that has to wait for it is late.
    const body = function* (): Generator<string> {
      const time = computer && { timestamp: new Date().toISOString() };
      yield JSON.stringify({ ...token, ...computer, ...time });
    };
    const headers = { "content-type": "application/json" };
    try {
      await this.request({ method: "POST", path: "/init", headers, body: Readable.from(body()), signal });
    } catch (cause) {
      if (!(cause instanceof WrennError)) throw cause;
      throw new WrennError("agent_error", `the guest does not become a computer: ${cause.message}`, {
        cause,
      });
    }
    this.#token = accessToken;
  }

  /** Has the guest write back what is dirty and close idle connections, so that a snapshot can be taken. */
  async prepareSnapshot(signal: AbortSignal): Promise<void> {
    await this.request({ method: "POST", path: "/snapshot/prepare", signal });
  }

  /** One HTTP request to the guest agent. The caller reads the body of the answer, which is a success. */
  async request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData> {
    const headers = { ...(options.headers as Record<string, string>), "x-access-token": this.#token };
    const response = await this.#http.request({ ...options, headers });
    if (response.statusCode < 300) return response;
    throw fromGuestStatus(response.statusCode, await boundedText(response.body, maxErrorBodyBytes));
  }

  /** A connection to a TCP port of the guest, see {@link openTunnel}. */
  async openTunnel(port: number, signal: AbortSignal): Promise<Duplex> {
    return await openTunnel(this.#sessions, port, { "x-access-token": this.#token }, signal);
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
