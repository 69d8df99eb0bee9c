import type { CapsuleState } from "@wrenn/contracts";
import type { ProcessIdentity } from "../processes/identity.ts";
import type { TimeRules } from "../time-rules/time-rules.ts";
import type { CapsuleVersions, Holding, Step } from "./entry.ts";

/** What the journal of a capsule says, taken together: all that has to be known of it when the agent starts again. */
export interface CapsuleRecord {
  readonly id: string;
  readonly state: CapsuleState;
  /** Of the newest command. */
  readonly generation: number;
  readonly operation: string;
  /** Grows with every change that this host observes. */
  readonly revision: number;
  readonly template: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  /** The operation that makes it as one of several copies. */
  readonly forkOf?: string | undefined;
  /** The operation that made the newest copies of it. */
  readonly forked?: string | undefined;
  /** What the capsule may still hold; letting go of what is gone already is fine. */
  readonly runDir: boolean;
  /** Name of its machine's directory, where that is not its own: the machine waited before it was this capsule's. */
  readonly runDirName?: string | undefined;
  readonly machine: boolean;
  readonly slotIndex?: number | undefined;
  readonly process?: ProcessIdentity | undefined;
  readonly guestUrl?: string | undefined;
  /** Layers of its disk that may be in use, lowest first. They stand on those of its source. */
  readonly ownLayers: readonly string[];
  /** Snapshot that its machine was restored from. */
  readonly source?: string | undefined;
  /** Size of its disk, once that is known. */
  readonly diskBytes?: number | undefined;
  /** Snapshot that it is paused to, or is being. */
  readonly snapshot?: string | undefined;
  /** While it is resuming: the state that it goes back to when that fails. */
  readonly resumedFrom?: CapsuleState | undefined;
  /** Snapshot that is being taken of it, for others. */
  readonly taking?: string | undefined;
  /** Snapshot that may be in the archive. */
  readonly archived?: string | undefined;
  readonly accessToken?: string | undefined;
  /** The newest restore that its memory knows of. */
  readonly restoreEpoch?: number | undefined;
  /** RFC 3339: when it first ran, and since when it runs. */
  readonly startedAt?: string | undefined;
  readonly runningSince?: string | undefined;
  /** For how long it had run by then, in milliseconds; and for how long when the pause is done that was begun. */
  readonly ranMs?: number | undefined;
  readonly ranMsWhenPaused?: number | undefined;
  readonly timeRules?: TimeRules | undefined;
  readonly versions?: CapsuleVersions | undefined;
  readonly reason?: string | undefined;
  readonly detail?: string | undefined;
}

const nothingHeld = {
  ...{ runDir: false, machine: false, ownLayers: [], slotIndex: undefined },
  ...{ source: undefined, snapshot: undefined, taking: undefined, archived: undefined },
};

/** Folds a journal into a record; undefined when it does not begin with a create. */
export function recordOf(id: string, entries: readonly Step[]): CapsuleRecord | undefined {
  const [first, ...rest] = entries;
  if (first?.step !== "create") return undefined;
  const { operation, generation, template, vcpus, memoryMib, forkOf, timeRules } = first;
  const begun: CapsuleRecord = {
    ...{ id, operation, generation, template, vcpus, memoryMib, forkOf, timeRules },
    ...{ state: "starting", revision: 1, ...nothingHeld },
  };
  return rest.reduce(recordAfter, begun);
}

/** As much as can be made out of a journal with parts missing: enough to let go of what it names. */
export function salvagedRecord(id: string, entries: readonly Step[]): CapsuleRecord {
  const nothing = { operation: "", generation: 0, template: "", vcpus: 0, memoryMib: 0, ...nothingHeld };
  const begun: CapsuleRecord = { id, ...nothing, state: "error", revision: 1 };
  const record = entries.reduce(recordAfter, begun);
  return { ...record, state: "error", runDir: true, machine: true, reason: "journal_unreadable" };
}

/**
 * A slot is one capsule's. Two records name it when the first could not note that it let go of it (its disk was full):
 * then it is the one's whose machine is in it.
 */
export function withoutStaleSlots(records: readonly CapsuleRecord[]): CapsuleRecord[] {
  const running = new Set(records.filter(mayRun).map(({ slotIndex }) => slotIndex));
  return records.map((record) =>
    !mayRun(record) && running.has(record.slotIndex) ? { ...record, slotIndex: undefined } : record,
  );
}

function mayRun({ state }: CapsuleRecord): boolean {
  return state === "running" || state === "pausing" || state === "snapshotting";
}

/** What a step makes of a record. */
export function recordAfter(record: CapsuleRecord, entry: Step): CapsuleRecord {
  switch (entry.step) {
    case "create":
      return record;
    case "source":
      return { ...record, source: entry.id, diskBytes: entry.diskBytes };
    case "run_dir":
      return { ...record, runDir: true, runDirName: undefined };
    case "disk":
      return { ...record, ownLayers: [...record.ownLayers, entry.path] };
    case "take_over": {
      const { runDir: runDirName, diskPath, ...data } = dataOf(entry);
      const ownLayers = [...record.ownLayers, diskPath];
      return { ...record, ...data, ownLayers, runDir: true, runDirName, machine: true };
    }
    case "disk_size":
      return { ...record, diskBytes: entry.bytes };
    case "layers":
      return { ...record, ownLayers: entry.paths };
    case "slot":
      return { ...record, slotIndex: entry.index };
    case "machine":
      return { ...record, machine: true, process: undefined, guestUrl: undefined };
    case "started":
      return { ...record, process: entry.process, guestUrl: entry.guestUrl };
    case "claim":
      return { ...record, accessToken: entry.accessToken, restoreEpoch: entry.restoreEpoch };
    case "running": {
      const { startedAt = entry.startedAt } = record;
      const times = { startedAt, runningSince: entry.startedAt };
      return { ...record, ...dataOf(entry), ...times, state: "running", forkOf: undefined, ...unexplained };
    }
    case "failed":
      return { ...record, ...unexplained, ...dataOf(entry), state: "error" };
    case "pause": {
      const { ranMs: ranMsWhenPaused, ...data } = dataOf(entry);
      return { ...record, ...unexplained, ...data, ranMsWhenPaused, state: "pausing" };
    }
    case "paused": {
      const { reason = record.reason, ranMsWhenPaused: ranMs = record.ranMs } = record;
      return { ...record, reason, ...dataOf(entry), ranMs, state: "paused" };
    }
    case "resume": {
      const { fromDisk: _, ...data } = dataOf(entry);
      const snapshot = record.snapshot ?? record.archived;
      return { ...record, ...data, snapshot, resumedFrom: record.state, state: "resuming" };
    }
    case "snapshot": {
      const { snapshot: taking, ...data } = dataOf(entry);
      return { ...record, ...data, taking, state: "snapshotting" };
    }
    case "hibernate":
      return { ...record, ...dataOf(entry), archived: record.snapshot, state: "hibernating" };
    case "hibernated":
      return { ...record, ...unexplained, ...dataOf(entry), state: "hibernated" };
    case "went_on":
      return { ...record, ...unexplained, ...dataOf(entry), ...notTaken, state: "running" };
    case "stayed":
      return { ...record, ...unexplained, ...dataOf(entry), taking: undefined };
    case "kept":
      return { ...record, snapshot: entry.snapshot };
    case "forked":
      return { ...record, forked: entry.operation };
    case "remark":
      return { ...record, ...unexplained, ...dataOf(entry) };
    case "command":
    case "time_rules":
      return { ...record, ...dataOf(entry) };
    case "destroy":
      return { ...record, ...unexplained, ...dataOf(entry), state: "stopping" };
    case "release":
      return { ...record, ...released(entry.holding) };
  }
}

const unexplained = { reason: undefined, detail: undefined };
const notTaken = { snapshot: undefined, taking: undefined };

/**
 * What is noted as released may not have been yet, and releasing it again is fine. Only a slot may be another's by now: if
 * it is not, it is one that nothing names, and is found as such; and so is all that lies on the disk. What comes later
 * in the order says that machine and directory are gone.
 */
function released(holding: Holding): Partial<CapsuleRecord> {
  const ended = { machine: false, runDir: false };
  switch (holding) {
    case "machine":
    case "run_dir":
      return {};
    case "slot":
      return { ...ended, slotIndex: undefined };
    case "disk":
      return { ...ended, ownLayers: [] };
    case "source":
      return { source: undefined };
    case "snapshot":
      return { snapshot: undefined };
    case "archive":
      return { archived: undefined };
  }
}

function dataOf<S extends Step>(entry: S): Omit<S, "step" | "at"> {
  const { step: _, at: __, ...data } = entry as S & { at?: string };
  return data as Omit<S, "step" | "at">;
}
