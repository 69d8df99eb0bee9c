import { WrennError } from "@wrenn/contracts";
import { type TimeoutAction, timeoutActions } from "@wrenn/contracts/rest";

/** What a capsule may do in time. The host enforces it alone; a paused capsule's time stands still. */
export interface TimeRules {
  /** Seconds without activity after which `action` is taken; 0 means never. */
  readonly idleTimeoutSec: number;
  /** Seconds that it may run before `action` is taken; 0 means without end. Counted anew after that pause. */
  readonly maxRunSec: number;
  readonly action: TimeoutAction;
}

/** Why a capsule's time is over, as its `reason` says it. */
export type TimeoutReason = "idle_timeout" | "max_run_time";

/** A capsule that was given no rules runs until it is told otherwise. */
export const noTimeRules: TimeRules = { idleTimeoutSec: 0, maxRunSec: 0, action: "pause" };

/** Rules as they come in a message of the control plane; `action` is empty for `pause`. */
interface TimeRulesMessage {
  readonly idleTimeoutSec: number;
  readonly maxRunSec: number;
  readonly action: string;
}

/** @throws {WrennError} `invalid_request` for an action that this agent does not know. */
export function timeRulesOf(message: TimeRulesMessage | undefined): TimeRules {
  if (!message) return noTimeRules;
  const { idleTimeoutSec, maxRunSec, action: given } = message;
  const action = timeoutActions.find((known) => known === (given || noTimeRules.action));
  if (!action) {
    const sentence = `on_timeout must be one of ${timeoutActions.join(", ")}, not ${JSON.stringify(given)}`;
    throw new WrennError("invalid_request", sentence, { field: "on_timeout" });
  }
  return { idleTimeoutSec, maxRunSec, action };
}

/** Rules as a report tells them. */
export function reportedTimeRules({ idleTimeoutSec, maxRunSec, action }: TimeRules) {
  return { timeout_sec: idleTimeoutSec, max_run_sec: maxRunSec, on_timeout: action };
}
