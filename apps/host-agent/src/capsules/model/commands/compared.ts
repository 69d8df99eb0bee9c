import type { CapsuleState } from "@wrenn/contracts";
import type { AsyncCommand } from "fast-check";
import type { Outcome } from "../agent-under-test.ts";
import type { Fault, Seen } from "../calls.ts";
import type { Expected, ExpectedCapsule } from "../expected.ts";
import type { HostUnderTest } from "../host-under-test.ts";
import { compare } from "../invariants.ts";

export type ModelCommand = AsyncCommand<Expected, HostUnderTest>;

/** A command that the agent is compared with the model after. */
export abstract class Compared implements ModelCommand {
  abstract check(expected: Readonly<Expected>): boolean;
  protected abstract act(expected: Expected, host: HostUnderTest): Promise<void>;

  async run(expected: Expected, host: HostUnderTest): Promise<void> {
    await this.act(expected, host);
    await compare(expected, host);
  }
}

/** The capsule that a command is for. Its check has seen that there is one. */
export function chosen(expected: Expected, choice: number, ...states: CapsuleState[]): ExpectedCapsule {
  const capsule = expected.pick(choice, ...states);
  if (!capsule) throw new Error("the command has no capsule");
  return capsule;
}

export async function find(host: HostUnderTest, id: string): Promise<Seen | undefined> {
  return (await host.agent.see()).find((seen) => seen.id === id);
}

/** A command that answered has done what it was told; one that was cut off may have. */
export function mustBeDone(outcome: Outcome, isDone: boolean): void {
  if (outcome.kind === "refused") throw new Error(`refused: ${outcome.code}: ${outcome.message}`);
  if (outcome.kind === "done" && !isDone) throw new Error("answered, but not done");
}

export function mustBeRefused(outcome: Outcome, code: string): void {
  if (outcome.kind === "refused" && outcome.code === code) return;
  const what = outcome.kind === "refused" ? `refused with ${outcome.code}` : outcome.kind;
  throw new Error(`${what}, where ${code} is due`);
}

export function faultText(fault: Fault | undefined): string {
  return fault ? ` cut off ${fault.when} step ${fault.step}` : "";
}
