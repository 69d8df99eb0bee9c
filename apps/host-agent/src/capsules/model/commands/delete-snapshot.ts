import { bootContents, type Expected } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { Compared, mustBeDone, mustBeRefused } from "./compared.ts";

/** A snapshot is offered no longer. What was created from it has everything that it had. */
export class DeleteSnapshot extends Compared {
  readonly #choice: number;

  constructor(choice: number) {
    super();
    this.#choice = choice;
  }

  check(expected: Readonly<Expected>): boolean {
    return expected.snapshots.size > 0;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const snapshot = expected.pickSnapshot(this.#choice);
    if (snapshot === undefined) throw new Error("the command has no snapshot");
    mustBeDone(await host.agent.command("deleteSnapshot", snapshot), true);
    expected.snapshots.delete(snapshot);
    const { id, generation } = expected.newcomer(bootContents);
    mustBeRefused(await host.agent.command("create", { id, generation, snapshot }), "not_found");
  }

  override toString(): string {
    return `deleteSnapshot(${this.#choice})`;
  }
}
