import type { Fault } from "../calls.ts";
import type { Expected } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { Compared, chosen, faultText, find, mustBeDone } from "./compared.ts";

/** Ends a capsule, whatever its state. */
export class Destroy extends Compared {
  readonly #choice: number;
  readonly #fault: Fault | undefined;

  constructor(choice: number, fault: Fault | undefined) {
    super();
    this.#choice = choice;
    this.#fault = fault;
  }

  check(expected: Readonly<Expected>): boolean {
    return expected.pick(this.#choice) !== undefined;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const { id, generation } = chosen(expected, this.#choice);
    const outcome = await host.agent.command("destroy", { id, generation: generation + 1 }, this.#fault);
    const isGone = (await find(host, id)) === undefined;
    mustBeDone(outcome, isGone);
    if (isGone) expected.remove(id);
  }

  override toString(): string {
    return `destroy(${this.#choice})${faultText(this.#fault)}`;
  }
}
