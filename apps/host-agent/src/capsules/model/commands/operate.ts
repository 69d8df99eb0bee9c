import type { CapsuleState } from "@wrenn/contracts";
import type { Fault } from "../calls.ts";
import { bootContents, type Expected, type ExpectedCapsule } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { Compared, chosen, faultText, find, mustBeDone, mustBeRefused } from "./compared.ts";

/** Which state an operation leads to, from each state that it takes. */
const operations = {
  pause: { running: "paused", paused: "paused" },
  resume: { paused: "running", hibernated: "running", running: "running" },
  resumeFromDisk: { paused: "running", hibernated: "running", error: "running", running: "running" },
  hibernate: { paused: "hibernated", hibernated: "hibernated" },
} as const satisfies Record<string, Partial<Record<CapsuleState, CapsuleState>>>;

export type OperationName = keyof typeof operations;

export const operationNames = Object.keys(operations) as OperationName[];

/** How a command comes: once, twice at the same time, again after its answer, or as one that a newer has overtaken. */
export const manners = ["once", "twice", "again", "late"] as const;

export type Manner = (typeof manners)[number];

const { memory } = bootContents;

/** An operation on one capsule in whatever state. */
export class Operate extends Compared {
  readonly #name: OperationName;
  readonly #choice: number;
  readonly #manner: Manner;
  readonly #fault: Fault | undefined;

  constructor(name: OperationName, choice: number, manner: Manner, fault: Fault | undefined) {
    super();
    this.#name = name;
    this.#choice = choice;
    this.#manner = manner;
    this.#fault = fault;
  }

  check(expected: Readonly<Expected>): boolean {
    return expected.pick(this.#choice) !== undefined;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const capsule = chosen(expected, this.#choice);
    if (this.#manner === "late") return await this.#comeLate(capsule, host);
    const to = (operations[this.#name] as Partial<Record<CapsuleState, CapsuleState>>)[capsule.state];
    if (to === undefined) await this.#beRefused(capsule, expected, host);
    else await this.#lead(capsule, to, expected, host);
  }

  async #lead(
    { id, state: from, generation: before, contents }: ExpectedCapsule,
    to: CapsuleState,
    expected: Expected,
    host: HostUnderTest,
  ): Promise<void> {
    const command = { id, generation: before + 1 };
    const give = () => host.agent.command(this.#name, command, this.#fault);
    const second = this.#manner === "twice" ? give() : undefined;
    const outcome = await give();
    if (second && outcome.kind === "done") mustBeDone(await second, true);
    else await second;
    const seen = await find(host, id);
    if (!seen) throw new Error(`${id} is lost`);
    const { state, generation } = seen;
    mustBeDone(outcome, state === to && generation === command.generation);
    if (![from, to].includes(state)) throw new Error(`${id} was ${from} and is ${state}, not ${to}`);
    if (![before, before + 1].includes(generation)) throw new Error(`${id} is at ${generation}`);
    // A kernel that was started anew has nothing in its memory.
    const isNew = this.#name === "resumeFromDisk" && from !== "running" && state === "running";
    expected.change(id, { state, generation, ...(isNew && { contents: { ...contents, memory } }) });
    if (this.#manner === "again" && outcome.kind === "done") {
      mustBeDone(await host.agent.command(this.#name, command), true);
    }
  }

  async #beRefused(
    { id, generation }: ExpectedCapsule,
    expected: Expected,
    host: HostUnderTest,
  ): Promise<void> {
    const outcome = await host.agent.command(this.#name, { id, generation: generation + 1 });
    mustBeRefused(outcome, "invalid_state");
    // It is known to have come all the same.
    expected.change(id, { generation: generation + 1 });
  }

  async #comeLate({ id, generation }: ExpectedCapsule, host: HostUnderTest): Promise<void> {
    mustBeRefused(await host.agent.command(this.#name, { id, generation: generation - 1 }), "conflict");
  }

  override toString(): string {
    return `${this.#name}(${this.#choice}) ${this.#manner}${faultText(this.#fault)}`;
  }
}
