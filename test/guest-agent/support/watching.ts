import { type Code, ConnectError } from "@connectrpc/connect";
import { EventType, type FilesystemEvent, type WatchDirRequest } from "@wrenn/contracts/filesystem";
import type { Caller, Guest } from "./guest.ts";

const typeNames = Object.fromEntries(Object.entries(EventType).map(([name, type]) => [type, name]));

/** What a watcher is asked to do; the rest is false. */
export type Wanted = Partial<Pick<WatchDirRequest, "recursive" | "includeEntry" | "allowNetworkMounts">>;

/** An event as tests name it: `CREATE a/b`. */
export function lineOf({ type, name }: FilesystemEvent): string {
  return `${typeNames[type]} ${name}`;
}

/** The stream of one watched directory, read as fast as it comes; given up at the end of its scope. */
export class Watching implements AsyncDisposable {
  readonly events: FilesystemEvent[] = [];
  overflows = 0;
  keepalives = 0;
  /** Resolves with the code of the error that ended the stream; undefined when the stream was given up. */
  readonly over: Promise<Code | undefined>;
  readonly #abort = new AbortController();
  readonly #waiting = new Set<() => void>();
  readonly #started: Promise<void>;

  private constructor(guest: Guest, path: string, wanted: Wanted, caller: Caller, options: WatchOptions) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#started = promise;
    const { filesystem } = guest.as(caller);
    const stream = filesystem.watchDir({ path, ...wanted }, { ...options, signal: this.#abort.signal });
    this.over = this.#read(stream, resolve).catch((error: unknown) => {
      reject(error);
      return this.#abort.signal.aborted ? undefined : ConnectError.from(error).code;
    });
    void this.over.then(() => reject(new Error("the stream ended before a start")));
  }

  /** Resolves when the directory is watched; what happens from then on is told. */
  static async start(
    guest: Guest,
    path: string,
    wanted: Wanted = {},
    caller: Caller = {},
    options: WatchOptions = {},
  ): Promise<Watching> {
    const watching = new Watching(guest, path, wanted, caller, options);
    await watching.#started;
    return watching;
  }

  get lines(): string[] {
    return this.events.map(lineOf);
  }

  /** Resolves when `met` holds, which is asked after each message; fails when the stream is over before. */
  async until(met: (watching: this) => boolean): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const check = (): void => {
      if (met(this)) resolve();
    };
    void this.over.then((code) => {
      check();
      reject(new Error(`the stream ended with ${code} after:\n${this.lines.slice(-20).join("\n")}`));
    });
    this.#waiting.add(check);
    check();
    await promise.finally(() => this.#waiting.delete(check));
  }

  /** Resolves when each of these has been told. */
  async sees(...lines: readonly string[]): Promise<void> {
    await this.until(() => lines.every((line) => this.lines.includes(line)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.over;
  }

  async #read(stream: ReturnType<Guest["filesystem"]["watchDir"]>, started: () => void): Promise<undefined> {
    let messages = 0;
    for await (const { event } of stream) {
      if ((event.case === "start") !== (messages++ === 0))
        throw new Error(`message ${messages} is ${event.case}`);
      if (event.case === "start") started();
      if (event.case === "filesystem") this.events.push(event.value);
      if (event.case === "overflow") this.overflows += 1;
      if (event.case === "keepalive") this.keepalives += 1;
      for (const check of this.#waiting) check();
    }
    throw new Error("the stream ended without an error");
  }
}

export interface WatchOptions {
  readonly headers?: Record<string, string>;
}
