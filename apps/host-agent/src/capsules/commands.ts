import { type CapsuleState, WrennError } from "@wrenn/contracts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";

/** Refuses a command that a newer one has overtaken. @throws {WrennError} `conflict`. */
export function checkGeneration(capsule: Capsule, { generation }: CapsuleCommand): void {
  if (generation >= capsule.generation) return;
  const sentence = `capsule ${capsule.id} is at generation ${capsule.generation}, the request at ${generation}`;
  throw new WrennError("conflict", sentence, { field: "generation" });
}

/** Takes note of a command that changes nothing: the capsule is where it is to be, or cannot get there. */
export function noteCommand(capsule: Capsule, { operation, generation }: CapsuleCommand): void {
  if (generation > capsule.generation) capsule.move({ step: "command", operation, generation });
}

/** @throws {WrennError} `invalid_state` when the capsule is in none of the states. */
export function requireState(
  capsule: Capsule,
  command: CapsuleCommand,
  states: readonly CapsuleState[],
): void {
  if (states.includes(capsule.state)) return;
  noteCommand(capsule, command);
  const sentence = `capsule ${capsule.id} is ${capsule.state}; this takes one that is ${states.join(" or ")}`;
  throw new WrennError("invalid_state", sentence);
}
