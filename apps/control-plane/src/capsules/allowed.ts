import { type CapsuleState, canTransition, WrennError } from "@wrenn/contracts";
import type { CapsuleRow } from "../database/schema.ts";

/** What a client can command of a capsule, and the state that it is in meanwhile. */
export const stateDuring = {
  pause: "pausing",
  resume: "resuming",
  snapshot: "snapshotting",
  fork: "snapshotting",
  hibernate: "hibernating",
  destroy: "stopping",
} as const satisfies Record<string, CapsuleState>;

export type LifecycleOperation = keyof typeof stateDuring;

/** The operations that the state table allows from a state. */
export function allowedOperations(state: CapsuleState): LifecycleOperation[] {
  const all = Object.keys(stateDuring) as LifecycleOperation[];
  return all.filter((operation) => canTransition(state, stateDuring[operation]));
}

/** @throws {WrennError} `invalid_state`, which names the state and what it allows. */
export function checkAllowed(
  { id, state }: Pick<CapsuleRow, "id" | "state">,
  wanted: LifecycleOperation,
): void {
  const allowed = allowedOperations(state);
  if (allowed.includes(wanted)) return;
  const rest = allowed.length > 0 ? `it allows ${allowed.join(", ")}` : "it allows nothing any more";
  throw new WrennError("invalid_state", `capsule ${id} is in state "${state}": ${rest}, and not ${wanted}`);
}
