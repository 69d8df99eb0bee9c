import type { Fault } from "../calls.ts";
import { bootContents, type Contents, type Expected, mostCapsules } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { Compared, faultText, find, mustBeDone } from "./compared.ts";

/** A capsule of the template, or of a snapshot. */
export class Create extends Compared {
  readonly #choice: number | undefined;
  readonly #fault: Fault | undefined;

  /** @param choice of the snapshot; of the template when it is absent. */
  constructor(choice: number | undefined, fault: Fault | undefined) {
    super();
    this.#choice = choice;
    this.#fault = fault;
  }

  check(expected: Readonly<Expected>): boolean {
    return expected.capsules.length < mostCapsules && this.#source(expected) !== undefined;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const source = this.#source(expected);
    if (!source) throw new Error("the command has no snapshot");
    const made = expected.newcomer(source.contents);
    const { id, generation } = made;
    const { snapshot } = source;
    const command = { id, generation, ...(snapshot !== undefined && { snapshot }) };
    const outcome = await host.agent.command("create", command, this.#fault);
    const isThere = (await find(host, id)) !== undefined;
    mustBeDone(outcome, isThere);
    if (isThere) expected.put(made);
  }

  #source(expected: Readonly<Expected>): { contents: Contents; snapshot?: string } | undefined {
    if (this.#choice === undefined) return { contents: bootContents };
    const snapshot = expected.pickSnapshot(this.#choice);
    const contents = snapshot === undefined ? undefined : expected.snapshots.get(snapshot);
    return contents && snapshot !== undefined ? { contents, snapshot } : undefined;
  }

  override toString(): string {
    return `create${this.#choice === undefined ? "" : `From(${this.#choice})`}${faultText(this.#fault)}`;
  }
}
