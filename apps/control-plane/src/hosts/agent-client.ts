import { type Client, Code, type ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { fromConnectError, WrennError } from "@wrenn/contracts";
import { HostService } from "@wrenn/contracts/host";
import type { Authority } from "../authority/authority.ts";
import { isUnreachable, tlsProblem } from "./connection-problem.ts";
import { HostSessions } from "./sessions.ts";

export type HostClient = Client<typeof HostService>;

const unreachableCodes = [Code.Unavailable, Code.DeadlineExceeded, Code.Aborted, Code.Canceled];

/** Bounds one message, not one file. */
const maxMessageBytes = 16 * 1024 * 1024;

/**
 * The way to one host's agent: one HTTP/2 session that is kept alive, on which both have proven who they are, and
 * every error as one of the catalogue. Whoever asks an agent for something does it through here.
 */
export class AgentClient implements Disposable {
  /** `IP:PORT` */
  readonly address: string;
  readonly #hostId: string;
  readonly #client: HostClient;
  readonly #sessions: HostSessions;
  #closed: "ended" | "moved" | undefined;

  constructor(hostId: string, address: string, authority: Authority) {
    this.address = address;
    this.#hostId = hostId;
    this.#sessions = new HostSessions(hostId, address, authority);
    this.#client = createClient(
      HostService,
      createConnectTransport({
        httpVersion: "2",
        baseUrl: `https://${address}`,
        useBinaryFormat: true,
        sessionManager: this.#sessions,
        acceptCompression: [],
        readMaxBytes: maxMessageBytes,
      }),
    );
  }

  /** Makes a call that has one answer. Its body may be a stream. */
  async call<T>(request: (client: HostClient) => Promise<T>): Promise<T> {
    try {
      return await request(this.#client);
    } catch (error) {
      throw this.#mapped(error);
    }
  }

  /**
   * Makes a call that is answered by a stream. Resolves with its first message, so that what fails at once fails
   * here; undefined when there is none.
   */
  async open<T>(request: (client: HostClient) => AsyncIterable<T>): Promise<OpenStream<T> | undefined> {
    return this.call(async (client) => {
      const iterator = request(client)[Symbol.asyncIterator]();
      const first = await iterator.next();
      if (first.done) return undefined;
      return { first: first.value, rest: this.#rest(iterator) };
    });
  }

  /** Ends the session because the host is elsewhere now. Calls under way fail with `host_unavailable`. */
  abandon(): void {
    this.#closed ??= "moved";
    this.#sessions.abort();
  }

  /** Ends the session. Calls under way fail with `shutting_down`: what the host makes of them is not known. */
  [Symbol.dispose](): void {
    this.#closed ??= "ended";
    this.#sessions.abort();
  }

  async *#rest<T>(iterator: AsyncIterator<T>): AsyncGenerator<T> {
    try {
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } catch (error) {
      throw this.#mapped(error);
    } finally {
      await iterator.return?.();
    }
  }

  /** The agent's codes are ours, but for those that would say something else to our own caller. */
  #mapped(error: unknown): WrennError {
    const mapped = fromConnectError(error, (foreign) => this.#foreign(foreign));
    if (mapped.code === "internal_error") return this.#agentError("failed", error);
    // To our caller it would say that its own key is wrong.
    if (mapped.code === "unauthorized" || mapped.code === "identity_mismatch") {
      return this.#agentError("does not let this control plane in", error);
    }
    return mapped;
  }

  #foreign(error: ConnectError): WrennError {
    if (this.#closed === "ended")
      return new WrennError("shutting_down", "this control plane is going down; try again");
    const problem = this.#closed ? undefined : tlsProblem(error);
    if (problem) return this.#agentError(problem, error);
    const away = this.#closed || unreachableCodes.includes(error.code) || isUnreachable(error);
    if (!away) return this.#agentError("gave an answer that is not an agent's", error);
    const sentence = `host ${this.#hostId} cannot be reached at ${this.address}; try again`;
    return new WrennError("host_unavailable", sentence, { cause: error });
  }

  #agentError(what: string, cause: unknown): WrennError {
    return new WrennError("agent_error", `the agent of host ${this.#hostId} at ${this.address} ${what}`, {
      cause,
    });
  }
}

export interface OpenStream<T> {
  first: T;
  /** What follows. Ending the iteration early ends the call. */
  rest: AsyncGenerator<T>;
}
