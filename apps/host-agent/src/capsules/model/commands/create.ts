import type { Fault } from "../calls.ts";
import { bootContents, type Expected, mostCapsules } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { Compared, faultText, find, mustBeDone } from "./compared.ts";

/** A capsule of the template. */
export class Create extends Compared {
  readonly #fault: Fault | undefined;

  constructor(fault: Fault | undefined) {
    super();
    this.#fault = fault;
  }

  check(expected: Readonly<Expected>): boolean {
    return expected.capsules.length < mostCapsules;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const made = expected.newcomer(bootContents);
    const { id, generation } = made;
    const outcome = await host.agent.command("create", { id, generation }, this.#fault);
    const isThere = (await find(host, id)) !== undefined;
    mustBeDone(outcome, isThere);
    if (isThere) expected.put(made);
  }

  override toString(): string {
    return `create${faultText(this.#fault)}`;
  }
}
