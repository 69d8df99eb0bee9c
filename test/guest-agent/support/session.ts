import { once } from "node:events";
import { type ClientHttp2Session, connect, type OutgoingHttpHeaders } from "node:http2";

/** One HTTP/2 connection, for requests that must share it. */
export class Session implements AsyncDisposable {
  readonly #session: ClientHttp2Session;

  constructor(baseUrl: string) {
    this.#session = connect(baseUrl);
  }

  /** @returns the status of the answer. */
  async post(path: string, token: string, body: unknown): Promise<number> {
    return await this.#request({ ":method": "POST", ":path": path }, token, JSON.stringify(body));
  }

  /** @returns the status of the answer. */
  async get(path: string, token: string): Promise<number> {
    return await this.#request({ ":method": "GET", ":path": path }, token);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.destroy();
  }

  async #request(headers: OutgoingHttpHeaders, token: string, body?: string): Promise<number> {
    const stream = this.#session.request({ ...headers, "x-access-token": token });
    stream.end(body);
    const [answer] = await once(stream, "response");
    stream.resume();
    await once(stream, "close");
    return answer[":status"];
  }
}
