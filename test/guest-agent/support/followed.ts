import type {
  ConnectResponse,
  ProcessEvent_EndEvent,
  ProcessEvent_GapEvent,
  StartResponse,
} from "@wrenn/contracts/process";

export type StreamName = "stdout" | "stderr" | "pty";
type Event = NonNullable<StartResponse["event"]>["event"];

/**
 * The stream of one process, read as fast as it comes. It insists on what every stream owes its reader: `start` first and
 * once, `end` once and last, nothing without a case.
 */
export class Followed {
  /** Every event, in order. */
  readonly events: Event[] = [];
  readonly gaps: ProcessEvent_GapEvent[] = [];
  keepalives = 0;
  /** Fails when the stream fails, or ends, before the process has started. */
  readonly pid: Promise<number>;
  /** Resolves when the stream is over, after the end of the process; fails when the stream fails before. */
  readonly ended: Promise<ProcessEvent_EndEvent>;
  readonly #output = { stdout: [], stderr: [], pty: [] } as Record<StreamName, Uint8Array[]>;
  readonly #waiting = new Set<() => void>();

  constructor(stream: AsyncIterable<StartResponse | ConnectResponse>) {
    const pid = Promise.withResolvers<number>();
    this.pid = pid.promise;
    this.ended = this.#read(stream, pid.resolve);
    this.ended.then(
      () => pid.reject(new Error("the stream ended without a start")),
      (error) => pid.reject(error),
    );
    for (const promise of [this.pid, this.ended]) promise.catch(() => {});
  }

  /** What came of a stream so far. */
  bytes(stream: StreamName): Buffer {
    return Buffer.concat(this.#output[stream]);
  }

  text(stream: StreamName): string {
    return this.bytes(stream).toString("utf8");
  }

  /** Resolves when `met` holds, which is asked after each event; fails when the stream is over before. */
  async until(met: (followed: this) => boolean): Promise<void> {
    const over = this.ended.then(() => {
      if (!met(this)) throw new Error(`the stream ended before what was waited for:\n${this.#seen()}`);
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    const check = (): void => {
      if (met(this)) resolve();
    };
    this.#waiting.add(check);
    check();
    try {
      await Promise.race([promise, over]);
    } finally {
      this.#waiting.delete(check);
      over.catch(() => {});
    }
  }

  /** Resolves when a stream has printed `text`. */
  async prints(stream: StreamName, text: string): Promise<void> {
    await this.until(() => this.text(stream).includes(text));
  }

  async #read(
    stream: AsyncIterable<StartResponse | ConnectResponse>,
    started: (pid: number) => void,
  ): Promise<ProcessEvent_EndEvent> {
    let end: ProcessEvent_EndEvent | undefined;
    for await (const response of stream) {
      const event = response.event?.event ?? { case: undefined };
      if (end) throw new Error(`an event after the end: ${event.case}`);
      if ((event.case === "start") !== (this.events.length === 0))
        throw new Error(`event ${this.events.length} is ${event.case}`);
      if (event.case === "start") started(event.value.pid);
      if (event.case === "end") end = event.value;
      this.#take(event);
    }
    if (!end) throw new Error(`the stream ended without an end:\n${this.#seen()}`);
    return end;
  }

  #take(event: Event): void {
    this.events.push(event);
    if (event.case === undefined) throw new Error("an event without a case");
    if (event.case === "keepalive") this.keepalives += 1;
    if (event.case === "gap") this.gaps.push(event.value);
    if (event.case === "data") {
      const { output } = event.value;
      if (output.case === undefined) throw new Error("data of no stream");
      this.#output[output.case].push(output.value);
    }
    for (const check of this.#waiting) check();
  }

  #seen(): string {
    const names = ["stdout", "stderr", "pty"] as const;
    return names.map((name) => `${name}: ${this.text(name).slice(-500)}`).join("\n");
  }
}
