import type { Fault } from "../calls.ts";
import { type Expected, type ExpectedCapsule, mostCapsules } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { Compared, chosen, faultText, find, mustBeDone, mustBeRefused } from "./compared.ts";
import type { Manner } from "./operate.ts";

/** Copies of a capsule that runs or is paused; of another one, none. */
export class Fork extends Compared {
  readonly #choice: number;
  readonly #count: number;
  readonly #manner: Exclude<Manner, "late">;
  readonly #fault: Fault | undefined;

  constructor(choice: number, count: number, manner: Exclude<Manner, "late">, fault: Fault | undefined) {
    super();
    this.#choice = choice;
    this.#count = count;
    this.#manner = manner;
    this.#fault = fault;
  }

  check(expected: Readonly<Expected>): boolean {
    const source = expected.pick(this.#choice);
    return source !== undefined && expected.capsules.length + this.#count <= mostCapsules;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const source = chosen(expected, this.#choice);
    const { id } = source;
    const generation = source.generation + 1;
    const copies = Array.from({ length: this.#count }, () => expected.newcomer(source.contents));
    const command = { id, generation, children: copies.map((copy) => copy.id) };
    const give = () => host.agent.command("fork", command, this.#fault);
    const second = this.#manner === "twice" ? give() : undefined;
    const outcome = await give();
    await second;
    if (source.state !== "running" && source.state !== "paused") mustBeRefused(outcome, "invalid_state");
    else await this.#meet(source, copies, expected, host, outcome.kind === "crashed");
    if (outcome.kind === "done") mustBeDone(outcome, expected.get(copies.at(-1)?.id ?? "") !== undefined);
    if (this.#manner === "again" && outcome.kind === "done") {
      mustBeDone(await host.agent.command("fork", command), true);
    }
    // Of one that was cut off, it may not have come to the capsule.
    const seen = await find(host, id);
    const at = seen?.generation ?? 0;
    if (at !== generation && !(outcome.kind === "crashed" && at === source.generation)) {
      throw new Error(`${id} is at generation ${at}`);
    }
    expected.change(id, { generation: at });
  }

  /** All of the copies are there, or, when the agent was killed, none may be. */
  async #meet(
    { id }: ExpectedCapsule,
    copies: readonly ExpectedCapsule[],
    expected: Expected,
    host: HostUnderTest,
    mayLack: boolean,
  ): Promise<void> {
    const seen = new Set((await host.agent.see()).map((capsule) => capsule.id));
    const made = copies.filter((copy) => seen.has(copy.id));
    if (made.length !== copies.length && !(mayLack && made.length === 0)) {
      throw new Error(`${made.length} of ${copies.length} copies of ${id} are there`);
    }
    for (const copy of made) expected.put(copy);
  }

  override toString(): string {
    return `fork(${this.#choice}, ${this.#count}) ${this.#manner}${faultText(this.#fault)}`;
  }
}
