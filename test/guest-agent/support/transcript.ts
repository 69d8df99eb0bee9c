import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import type {
  ConnectResponse,
  ProcessEvent_EndEvent,
  ProcessSelectorSchema,
  StartResponse,
} from "@wrenn/contracts/process";
import type { Guest } from "./guest.ts";

type Stream = AsyncIterable<StartResponse | ConnectResponse>;

/**
 * The standard output of one process, followed through any number of streams: whenever one breaks off, the next goes on
 * where it ended. It insists that nothing is left out without a gap that says so.
 */
export class Transcript {
  /** What is between the gaps. */
  readonly pieces: Buffer[] = [Buffer.alloc(0)];
  /** First byte that has not come yet. */
  position = 0;
  /** Bytes in gaps. */
  lost = 0;
  readonly #guest: Guest;
  readonly #process: MessageInitShape<typeof ProcessSelectorSchema>;
  readonly #waiting = new Set<() => void>();

  constructor(guest: Guest, process: MessageInitShape<typeof ProcessSelectorSchema>) {
    this.#guest = guest;
    this.#process = process;
  }

  /** Follows the process to its end, through its first stream and all that are needed after it. */
  async follow(stream: Stream): Promise<ProcessEvent_EndEvent> {
    for (let next = stream; ; next = this.#again()) {
      const end = await this.#read(next).catch((error: unknown) => {
        if (error instanceof RangeError || ConnectError.from(error).code === Code.NotFound) throw error;
      });
      if (end) return end;
    }
  }

  /** Resolves when the output has come that far. */
  async until(position: number): Promise<void> {
    while (this.position < position) await new Promise<void>((come) => this.#waiting.add(come));
  }

  #again(): Stream {
    const from = { stdout: BigInt(this.position) };
    return this.#guest.processes.connect({ process: this.#process, from });
  }

  async #read(stream: Stream): Promise<ProcessEvent_EndEvent | undefined> {
    for await (const { event } of stream) {
      const given = event?.event;
      if (given?.case === "end") return given.value;
      if (given?.case === "gap") {
        this.#expect(given.value.from);
        this.lost += Number(given.value.to - given.value.from);
        this.position = Number(given.value.to);
        this.pieces.push(Buffer.alloc(0));
      }
      if (given?.case === "data" && given.value.output.case === "stdout") {
        const bytes = given.value.output.value;
        this.#expect(given.value.offset);
        this.position += bytes.length;
        this.pieces.push(Buffer.concat([this.pieces.pop() ?? Buffer.alloc(0), bytes]));
      }
      for (const come of this.#waiting) come();
      this.#waiting.clear();
    }
    return undefined;
  }

  #expect(offset: bigint | undefined): void {
    if (offset !== BigInt(this.position)) throw new RangeError(`${offset} follows ${this.position}`);
  }
}
