import { Agent } from "node:http";
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { Filesystem } from "@wrenn/contracts/filesystem";
import { Process } from "@wrenn/contracts/process";
import { GuardedSessions } from "@wrenn/daemon";
import { Followed } from "./followed.ts";

export type TargetName = "bare" | "capsule";

/** How messages are written and carried. */
export interface Wire {
  readonly name: string;
  readonly binary: boolean;
  readonly httpVersion: "1.1" | "2";
}

/** As E2B's clients speak on a plain connection. */
export const jsonWire: Wire = { name: "JSON over HTTP/1.1", binary: false, httpVersion: "1.1" };
/** As the host agent speaks. */
export const binaryWire: Wire = { name: "binary over HTTP/2", binary: true, httpVersion: "2" };

/** Who asks, and how. Without any of it: the default user, in the binary codec, with extensions. */
export interface Caller {
  readonly wire?: Wire;
  /** Sent as the name of HTTP Basic. */
  readonly user?: string;
  /** Whether to ask for what Wrenn adds to E2B's wire. */
  readonly extensions?: boolean;
  /** In place of the guest's own; undefined sends none. */
  readonly token?: string | undefined;
}

/** The two services as one caller. */
export interface Services {
  readonly processes: Client<typeof Process>;
  readonly filesystem: Client<typeof Filesystem>;
}

/** What a target is and can do. */
export interface GuestOptions {
  readonly target: TargetName;
  readonly baseUrl: string;
  readonly token: string;
  /** Built as it ships: what is promised of its memory holds. */
  readonly shipped: boolean;
  /** Whether processes can run as others than root; a bare agent of a machine without root has no others. */
  readonly otherUsers: boolean;
  /** What the agent has logged; bare only. */
  readonly log?: () => Promise<string>;
}

/** One guest agent under test. */
export class Guest implements AsyncDisposable {
  readonly options: GuestOptions;
  readonly baseUrl: string;
  /** The token in force; a test that gives the agent another one sets it here too. */
  token: string;
  /** As the default user, in the binary codec, with extensions. */
  readonly processes: Client<typeof Process>;
  readonly filesystem: Client<typeof Filesystem>;
  readonly #sessions: GuardedSessions;
  readonly #connections = new Agent({ keepAlive: true });

  constructor(options: GuestOptions) {
    this.options = options;
    this.baseUrl = options.baseUrl;
    this.token = options.token;
    this.#sessions = new GuardedSessions(options.baseUrl);
    const { processes, filesystem } = this.as({});
    this.processes = processes;
    this.filesystem = filesystem;
  }

  /** Clients of both services that speak as `caller`. */
  as(caller: Caller): Services {
    const { binary, httpVersion } = caller.wire ?? binaryWire;
    const identify: Interceptor = (next) => (request) => {
      for (const [name, value] of Object.entries(this.headers({ extensions: true, ...caller })))
        request.header.set(name, value);
      return next(request);
    };
    const shared = { baseUrl: this.baseUrl, useBinaryFormat: binary, interceptors: [identify] };
    const transport = createConnectTransport(
      httpVersion === "2"
        ? { ...shared, httpVersion, sessionManager: this.#sessions }
        : { ...shared, httpVersion, nodeOptions: { agent: this.#connections } },
    );
    return { processes: createClient(Process, transport), filesystem: createClient(Filesystem, transport) };
  }

  /** Headers of a request of `caller`. */
  headers(caller: Caller = {}): Record<string, string> {
    const token = "token" in caller ? caller.token : this.token;
    return {
      ...(token === undefined ? {} : { "x-access-token": token }),
      ...(caller.user === undefined
        ? {}
        : { authorization: `Basic ${Buffer.from(`${caller.user}:`).toString("base64")}` }),
      ...(caller.extensions ? { "wrenn-extensions": "1" } : {}),
    };
  }

  /** A plain HTTP request, with the token unless `caller` says otherwise. */
  async fetch(path: string, init: RequestInit = {}, caller: Caller = {}): Promise<Response> {
    const headers = { ...this.headers(caller), ...Object.fromEntries(new Headers(init.headers)) };
    return await fetch(`${this.baseUrl}${path}`, { ...init, headers });
  }

  /** Runs a shell line, to its end, and answers what it printed. */
  async shell(line: string, caller: Caller = {}): Promise<{ stdout: string; stderr: string; code: number }> {
    const process = { cmd: "/bin/sh", args: ["-c", line] };
    const followed = new Followed(this.as(caller).processes.start({ process, stdin: false }));
    const { exitCode: code } = await followed.ended;
    return { stdout: followed.text("stdout"), stderr: followed.text("stderr"), code };
  }

  /** As {@link shell}, for a line that must succeed. @returns its standard output. */
  async output(line: string, caller: Caller = {}): Promise<string> {
    const { stdout, stderr, code } = await this.shell(line, caller);
    if (code !== 0) throw new Error(`${line}: ended with ${code}: ${stderr}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#sessions.abort();
    this.#connections.destroy();
  }
}
