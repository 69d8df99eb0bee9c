import { copyOf, type Expected, pageBytes } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { Compared, chosen } from "./compared.ts";

/** A guest writes a page of its memory, and as much to its disk. */
export class Write extends Compared {
  readonly #choice: number;
  readonly #page: number;
  readonly #byte: number;

  constructor(choice: number, page: number, byte: number) {
    super();
    this.#choice = choice;
    this.#page = page;
    this.#byte = byte;
  }

  check(expected: Readonly<Expected>): boolean {
    return expected.pick(this.#choice, "running") !== undefined;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const { id, contents } = chosen(expected, this.#choice, "running");
    const { memory, disk: before } = copyOf(contents);
    const at = this.#page * pageBytes;
    memory.fill(this.#byte, at, at + pageBytes);
    const disk = Buffer.alloc(Math.max(before.length, at + pageBytes));
    before.copy(disk);
    disk.fill(this.#byte ^ 0x5a, at, at + pageBytes);
    await host.write(id, { memory, disk });
    expected.change(id, { contents: { memory, disk } });
  }

  override toString(): string {
    return `write(${this.#choice}, page ${this.#page}, byte ${this.#byte})`;
  }
}
