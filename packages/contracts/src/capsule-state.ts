/** Every state a capsule can be in. */
export const capsuleStates = [
  "pending",
  "starting",
  "running",
  "pausing",
  "paused",
  "resuming",
  "snapshotting",
  "hibernating",
  "hibernated",
  "stopping",
  "stopped",
  "error",
] as const;

export type CapsuleState = (typeof capsuleStates)[number];

/** The eight values of `status` on the wire; `missing` is derived from the age of the host's last report. */
export const capsuleStatuses = [
  "pending",
  "starting",
  "running",
  "paused",
  "hibernated",
  "stopped",
  "missing",
  "error",
] as const;

export type CapsuleStatus = (typeof capsuleStatuses)[number];

/**
 * The legal transitions, and the only place that knows them. Moving back (`pausing` to `running`, `resuming`
 * to `paused`) is the roll-back of an operation that failed and left the previous state intact.
 */
export const capsuleTransitions: Readonly<Record<CapsuleState, readonly CapsuleState[]>> = {
  pending: ["starting", "stopping", "error"],
  starting: ["running", "stopping", "error"],
  running: ["pausing", "snapshotting", "stopping", "error"],
  pausing: ["paused", "running", "stopping", "error"],
  paused: ["resuming", "snapshotting", "hibernating", "stopping"],
  resuming: ["running", "paused", "hibernated", "stopping", "error"],
  snapshotting: ["running", "paused", "stopping"],
  hibernating: ["hibernated", "paused", "stopping"],
  hibernated: ["resuming", "stopping"],
  // Its memory is gone. Where its disk is left, it can be started from that.
  error: ["resuming", "stopping"],
  stopping: ["stopped"],
  stopped: [],
};

const statusOfState: Readonly<Record<CapsuleState, CapsuleStatus>> = {
  pending: "pending",
  starting: "starting",
  running: "running",
  pausing: "running",
  paused: "paused",
  resuming: "paused",
  snapshotting: "running",
  hibernating: "paused",
  hibernated: "hibernated",
  stopping: "stopped",
  stopped: "stopped",
  error: "error",
};

/** States in which something is being done to a capsule. Whoever does it says what becomes of it. */
export const transitionalStates = [
  "pending",
  "starting",
  "pausing",
  "resuming",
  "snapshotting",
  "hibernating",
  "stopping",
] as const satisfies readonly CapsuleState[];

/** Whether something is being done to a capsule in this state. */
export function isTransitional(state: CapsuleState): boolean {
  return (transitionalStates as readonly CapsuleState[]).includes(state);
}

/** Whether the table allows moving from one state to the other. */
export function canTransition(from: CapsuleState, to: CapsuleState): boolean {
  return capsuleTransitions[from].includes(to);
}

/**
 * Whether a capsule that was seen in one state may be in the other by now, by what its host does without a command: a
 * host reports where a capsule is, not each step to there.
 */
export function canBecome(from: CapsuleState, to: CapsuleState): boolean {
  const reached = new Set<CapsuleState>([from]);
  for (const state of reached) for (const next of capsuleTransitions[state]) reached.add(next);
  return reached.has(to);
}

/** States from which `to` may be entered: what a compare-and-set update may match. */
export function statesBefore(to: CapsuleState): CapsuleState[] {
  return capsuleStates.filter((from) => canTransition(from, to));
}

/** States from which a capsule may have come to be in `to`, over however many steps. */
export function statesThatCanBecome(to: CapsuleState): CapsuleState[] {
  return capsuleStates.filter((from) => canBecome(from, to));
}

/** The status that clients of `/v1` validate, for a state. */
export function statusOf(state: CapsuleState): CapsuleStatus {
  return statusOfState[state];
}

/** Narrows text from a database or a wire to a state. */
export function isCapsuleState(text: string): text is CapsuleState {
  return (capsuleStates as readonly string[]).includes(text);
}
