import type { Expected } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { Compared, chosen, find } from "./compared.ts";

/** A machine ends as a crash of its VMM ends it, while an agent runs or while none does. */
export class KillMachine extends Compared {
  readonly #choice: number;
  readonly #agentToo: boolean;

  constructor(choice: number, agentToo: boolean) {
    super();
    this.#choice = choice;
    this.#agentToo = agentToo;
  }

  check(expected: Readonly<Expected>): boolean {
    return expected.pick(this.#choice, "running") !== undefined;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const { id } = chosen(expected, this.#choice, "running");
    const pid = (await find(host, id))?.pid;
    if (pid === undefined) throw new Error(`${id} runs and has no machine`);
    const kill = () => process.kill(pid, "SIGKILL");
    if (this.#agentToo) await host.agent.restart(kill);
    else kill();
    expected.change(id, { state: "error" });
  }

  override toString(): string {
    return `killMachine(${this.#choice})${this.#agentToo ? " while no agent runs" : ""}`;
  }
}

/** The agent is killed while it does nothing. */
export class KillAgent extends Compared {
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
