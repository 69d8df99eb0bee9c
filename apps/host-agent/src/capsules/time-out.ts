import { newId } from "@wrenn/contracts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";

/** What is done with a capsule whose time is over. */
export interface TimeoutActions {
  pause(command: CapsuleCommand, reason: string): Promise<void>;
  destroy(command: CapsuleCommand, reason: string): Promise<void>;
}

/**
 * Does what the rules of a capsule say when its time is over. What is under way goes first; and whoever uses the capsule
 * before that begins, or changes its rules, is in time.
 */
export async function timeOut(capsule: Capsule, actions: TimeoutActions): Promise<void> {
  await capsule.operations.idle();
  const { time, operations } = capsule;
  const reason = time.due;
  if (!reason || operations.isEnding) return;
  const command = { id: capsule.id, operation: newId("operation"), generation: capsule.generation };
  await actions[time.rules.action](command, reason);
}
