import type { CapsuleState } from "@wrenn/contracts";
import fc, { type AsyncCommand } from "fast-check";
import type { Outcome } from "./agent-under-test.ts";
import type { Fault } from "./calls.ts";
import { bootContents, copyOf, type Expected, type ExpectedCapsule, memoryBytes } from "./expected.ts";
import type { HostUnderTest } from "./host-under-test.ts";
import { compare } from "./invariants.ts";

export type ModelCommand = AsyncCommand<Expected, HostUnderTest>;

const pageBytes = 4096;
const mostCapsules = 5;

/** A command that the model is compared after. */
abstract class Compared implements ModelCommand {
  abstract check(expected: Readonly<Expected>): boolean;
  protected abstract act(expected: Expected, host: HostUnderTest): Promise<void>;

  async run(expected: Expected, host: HostUnderTest): Promise<void> {
    await this.act(expected, host);
    await compare(expected, host);
  }
}

class Create extends Compared {
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
    const isThere = await found(host, id);
    mustBeDone(outcome, isThere);
    if (isThere) expected.put(made);
  }

  override toString(): string {
    return `create${faultText(this.#fault)}`;
  }
}

class Destroy extends Compared {
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
    const isGone = !(await found(host, id));
    mustBeDone(outcome, isGone);
    if (isGone) expected.remove(id);
  }

  override toString(): string {
    return `destroy(${this.#choice})${faultText(this.#fault)}`;
  }
}

/** The guest writes a page of its memory, and as much to its disk. */
class Write extends Compared {
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
    const { id, contents: before } = chosen(expected, this.#choice, "running");
    const contents = copyOf(before);
    const at = this.#page * pageBytes;
    contents.memory.fill(this.#byte, at, at + pageBytes);
    const disk = Buffer.alloc(Math.max(contents.disk.length, at + pageBytes));
    contents.disk.copy(disk);
    disk.fill(this.#byte ^ 0x5a, at, at + pageBytes);
    await host.write(id, { memory: contents.memory, disk });
    expected.change(id, { contents: { memory: contents.memory, disk } });
  }

  override toString(): string {
    return `write(${this.#choice}, page ${this.#page}, byte ${this.#byte})`;
  }
}

/** The machine ends as a crash of its VMM ends it. */
class KillMachine extends Compared {
  readonly #choice: number;

  constructor(choice: number) {
    super();
    this.#choice = choice;
  }

  check(expected: Readonly<Expected>): boolean {
    return expected.pick(this.#choice, "running") !== undefined;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const { id } = chosen(expected, this.#choice, "running");
    const pid = (await host.agent.see()).find((seen) => seen.id === id)?.pid;
    if (pid === undefined) throw new Error(`${id} runs and has no machine`);
    process.kill(pid, "SIGKILL");
    expected.change(id, { state: "error" });
  }

  override toString(): string {
    return `killMachine(${this.#choice})`;
  }
}

/** The agent is killed while it does nothing. */
class KillAgent extends Compared {
  check(): boolean {
    return true;
  }

  protected override async act(_expected: Expected, host: HostUnderTest): Promise<void> {
    await host.agent.restart();
  }

  override toString(): string {
    return "killAgent";
  }
}

function chosen(expected: Expected, choice: number, ...states: CapsuleState[]): ExpectedCapsule {
  const capsule = expected.pick(choice, ...states);
  if (!capsule) throw new Error("the command has no capsule");
  return capsule;
}

async function found(host: HostUnderTest, id: string): Promise<boolean> {
  return (await host.agent.see()).some((seen) => seen.id === id);
}

/** A command that answered has done what it was told; one that was cut off may have. */
function mustBeDone(outcome: Outcome, isDone: boolean): void {
  if (outcome.kind === "refused") throw new Error(`refused: ${outcome.code}: ${outcome.message}`);
  if (outcome.kind === "done" && !isDone) throw new Error("answered, but not done");
}

function faultText(fault: Fault | undefined): string {
  return fault ? ` cut off ${fault.when} step ${fault.step}` : "";
}

const page = fc.nat({ max: memoryBytes / pageBytes - 1 });
const byte = fc.nat({ max: 255 });
const choice = fc.nat({ max: 11 });
const fault = fc.record({ when: fc.constantFrom("before", "after"), step: fc.nat({ max: 9 }) });
const maybeFault = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fault },
);

const command = fc.oneof(
  { weight: 4, arbitrary: maybeFault.map((at) => new Create(at)) },
  { weight: 3, arbitrary: fc.tuple(choice, maybeFault).map(([which, at]) => new Destroy(which, at)) },
  {
    weight: 4,
    arbitrary: fc.tuple(choice, page, byte).map(([which, at, value]) => new Write(which, at, value)),
  },
  { weight: 1, arbitrary: choice.map((which) => new KillMachine(which)) },
  { weight: 1, arbitrary: fc.constant(new KillAgent()) },
);

/** A life of a host. A killed agent takes longer than all else, so there are few of these. */
export const commands = fc.commands([command], { maxCommands: 30, size: "max" });
