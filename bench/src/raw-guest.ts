import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { Agent, type IncomingMessage, type OutgoingHttpHeaders, request } from "node:http";

/** What makes a clone a computer of its own, beside its token. */
export type Identity = Readonly<Record<string, string | number>>;

/** Made as the agent makes it. */
export function newComputer(): Identity {
  return {
    kind: "clone",
    restoreEpoch: 2,
    hostname: "raw",
    machineId: randomBytes(16).toString("hex"),
    randomSeed: randomBytes(64).toString("base64"),
  };
}

/** The guest agent of a raw machine, spoken to as any HTTP client could. */
export class RawGuest implements Disposable {
  readonly #url: string;
  readonly #token: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(url: string, token: string) {
    this.#url = url;
    this.#token = token;
  }

  /** Tells the guest who it is: from here on this client's token opens it. */
  async init(bootToken: string, identity: Identity = {}): Promise<void> {
    const time = identity.kind === undefined ? {} : { timestamp: new Date().toISOString() };
    const headers = { "x-access-token": bootToken, "content-type": "application/json" };
    await this.#expect(
      204,
      "POST",
      "/init",
      headers,
      Buffer.from(JSON.stringify({ accessToken: this.#token, ...identity, ...time })),
    );
    await this.#expect(204, "GET", "/health", {});
  }

  /** Runs a program to its end: a server stream of the Connect protocol, with JSON messages. */
  async exec(cmd: string, args: readonly string[] = []): Promise<void> {
    const message = Buffer.from(JSON.stringify({ process: { cmd, args }, stdin: false }));
    const headers = { "x-access-token": this.#token, "content-type": "application/connect+json" };
    const body = await this.#expect(200, "POST", "/process.Process/Start", headers, enveloped(message));
    if (!body.includes('"exited":true')) throw new Error(`${cmd} did not end by itself: ${body}`);
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #expect(
    status: number,
    method: string,
    path: string,
    headers: OutgoingHttpHeaders,
    body?: Buffer,
  ): Promise<string> {
    const message = request(`${this.#url}${path}`, { method, headers, agent: this.#agent, timeout: 10_000 });
    message.once("timeout", () => message.destroy(new Error("the guest agent does not answer")));
    message.end(body);
    const [response] = (await once(message, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    if (response.statusCode === status) return Buffer.concat(chunks).toString("latin1");
    throw new Error(`the guest agent answered ${response.statusCode} to ${path}`);
  }
}

/** One message of a Connect stream: flags, length, bytes. https://connectrpc.com/docs/protocol#streaming-rpcs */
function enveloped(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
