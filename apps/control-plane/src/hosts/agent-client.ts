import { type Client, Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { fromConnectError, WrennError } from "@wrenn/contracts";
import { HostService } from "@wrenn/contracts/host";
import { HostToken } from "./host-token.ts";
import { HostSessions } from "./sessions.ts";

export type HostClient = Client<typeof HostService>;

/** Bounds one message, not one file. */
const maxMessageBytes = 16 * 1024 * 1024;

/**
 * The way to one host's agent: one HTTP/2 session that is kept alive, the token, and every error as one of the
 * catalogue. Whoever asks an agent for something does it through here.
 */
export class AgentClient implements Disposable {
  readonly address: string;
  readonly #client: HostClient;
  readonly #token: HostToken;
  readonly #sessions: HostSessions;
  #closed = false;

  constructor(address: string, tokenFile: string) {
    this.address = address;
    this.#token = new HostToken(tokenFile);
    this.#sessions = new HostSessions(address);
    this.#client = createClient(
      HostService,
      createConnectTransport({
        httpVersion: "2",
        baseUrl: address,
        useBinaryFormat: true,
        sessionManager: this.#sessions,
        interceptors: [authorize(this.#token)],
        acceptCompression: [],
        readMaxBytes: maxMessageBytes,
      }),
    );
  }

  /** Makes a call that has one answer. When the agent does not know the token, it is read and tried once more. */
  async call<T>(request: (client: HostClient) => Promise<T>): Promise<T> {
    try {
      return await this.#once(request);
    } catch (error) {
      if (!isTokenRefused(error)) throw error;
      return await this.#once(request).catch(this.#refused);
    }
  }

  /** As {@link call}, for a request whose body is a stream: it can be sent once only. */
  async upload<T>(request: (client: HostClient) => Promise<T>): Promise<T> {
    return this.#once(request).catch(this.#refused);
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

  /** Ends the session. Calls under way fail with `shutting_down`: what the host makes of them is not known. */
  [Symbol.dispose](): void {
    this.#closed = true;
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

  async #once<T>(request: (client: HostClient) => Promise<T>): Promise<T> {
    try {
      return await request(this.#client);
    } catch (error) {
      const mapped = this.#mapped(error);
      if (isTokenRefused(mapped)) this.#token.forget();
      throw mapped;
    }
  }

  /** The agent's codes are ours, but for those that would say something else to our own caller. */
  #mapped(error: unknown): WrennError {
    // Without a token no call is made; the transport passes that on as its own error's cause.
    if (error instanceof ConnectError && error.cause instanceof WrennError) return error.cause;
    const mapped = fromConnectError(error, (foreign) => this.#foreign(foreign));
    if (mapped.code !== "internal_error") return mapped;
    return new WrennError("agent_error", `the agent of host ${this.address} failed`, { cause: error });
  }

  #foreign(error: ConnectError): WrennError {
    if (this.#closed) return new WrennError("shutting_down", "this control plane is going down; try again");
    const unreachable = [Code.Unavailable, Code.DeadlineExceeded, Code.Aborted, Code.Canceled];
    return unreachable.includes(error.code)
      ? new WrennError("host_unavailable", `host ${this.address} cannot be reached; try again`, {
          cause: error,
        })
      : new WrennError("agent_error", `host ${this.address} gave an answer that is not an agent's`, {
          cause: error,
        });
  }

  /** To our caller, `unauthorized` would say that its own key is wrong. */
  readonly #refused = (error: unknown): never => {
    if (!isTokenRefused(error)) throw error;
    const sentence = `host ${this.address} refuses the token of ${this.#token.path}; both must use one WRENN_DIR`;
    throw new WrennError("agent_error", sentence, { cause: error });
  };
}

export interface OpenStream<T> {
  first: T;
  /** What follows. Ending the iteration early ends the call. */
  rest: AsyncGenerator<T>;
}

function authorize(token: HostToken): Interceptor {
  return (next) => async (request) => {
    request.header.set("authorization", `Bearer ${await token.read()}`);
    return next(request);
  };
}

function isTokenRefused(error: unknown): boolean {
  return error instanceof WrennError && error.code === "unauthorized";
}
