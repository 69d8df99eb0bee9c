import { newId } from "@wrenn/contracts";
import type { Fault } from "../calls.ts";
import { type Expected, mostSnapshots } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { Compared, chosen, faultText, find, mustBeDone, mustBeRefused } from "./compared.ts";
import type { Manner } from "./operate.ts";

/** A snapshot that capsules can be created from, of a capsule that runs or is paused. */
export class TakeSnapshot extends Compared {
  readonly #choice: number;
  readonly #manner: Exclude<Manner, "late">;
  readonly #fault: Fault | undefined;

  constructor(choice: number, manner: Exclude<Manner, "late">, fault: Fault | undefined) {
    super();
    this.#choice = choice;
    this.#manner = manner;
    this.#fault = fault;
  }

  check(expected: Readonly<Expected>): boolean {
    return expected.pick(this.#choice) !== undefined && expected.snapshots.size < mostSnapshots;
  }

  protected override async act(expected: Expected, host: HostUnderTest): Promise<void> {
    const { id, state, contents, generation: before } = chosen(expected, this.#choice);
    const snapshot = newId("snapshot");
    const generation = before + 1;
    const give = () => host.agent.command("snapshot", { id, generation, snapshot }, this.#fault);
    const second = this.#manner === "twice" ? give() : undefined;
    const outcome = await give();
    await second;
    const isThere = (await host.agent.snapshots()).includes(snapshot);
    if (state !== "running" && state !== "paused") mustBeRefused(outcome, "invalid_state");
    else mustBeDone(outcome, isThere);
    if (isThere) expected.snapshots.set(snapshot, contents);
    if (this.#manner === "again" && outcome.kind === "done") mustBeDone(await give(), true);
    const at = (await find(host, id))?.generation ?? 0;
    if (at !== generation && !(outcome.kind === "crashed" && at === before)) {
      throw new Error(`${id} is at generation ${at}`);
    }
    expected.change(id, { generation: at });
  }

  override toString(): string {
    return `snapshot(${this.#choice}) ${this.#manner}${faultText(this.#fault)}`;
  }
}
