import type { CapsuleState } from "@wrenn/contracts";
import type { ProcessIdentity } from "../processes/identity.ts";
import type { CapsuleVersions, Step } from "./entry.ts";

/** What the journal of a capsule says, taken together. */
export interface CapsuleRecord {
  readonly id: string;
  readonly state: Extract<CapsuleState, "starting" | "running" | "error" | "stopping">;
  readonly generation: number;
  readonly operation: string;
  readonly revision: number;
  readonly template: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  /** What the capsule may still hold; letting go of what is gone already is fine. */
  readonly runDir: boolean;
  readonly machine: boolean;
  readonly diskPath?: string | undefined;
  readonly slotIndex?: number | undefined;
  readonly process?: ProcessIdentity | undefined;
  readonly guestUrl?: string | undefined;
  readonly accessToken?: string | undefined;
  readonly startedAt?: string | undefined;
  readonly versions?: CapsuleVersions | undefined;
  readonly reason?: string | undefined;
  readonly detail?: string | undefined;
}

/** Folds a journal into a record; undefined when it does not begin with a create. */
export function recordOf(id: string, entries: readonly Step[]): CapsuleRecord | undefined {
  const [first, ...rest] = entries;
  if (first?.step !== "create") return undefined;
  const { operation, generation, template, vcpus, memoryMib } = first;
  const begun: CapsuleRecord = {
    ...{ id, operation, generation, template, vcpus, memoryMib },
    ...{ state: "starting", revision: 1, runDir: false, machine: false },
  };
  return rest.reduce(apply, begun);
}

/** As much as can be made out of a journal with parts missing: enough to let go of what it names. */
export function salvagedRecord(id: string, entries: readonly Step[]): CapsuleRecord {
  const nothing = { operation: "", generation: 0, template: "", vcpus: 0, memoryMib: 0 };
  const begun: CapsuleRecord = { id, ...nothing, state: "error", revision: 1, runDir: true, machine: true };
  const record = entries.reduce(apply, begun);
  return { ...record, state: "error", runDir: true, machine: true, reason: "journal_unreadable" };
}

/**
 * A slot is one capsule's. Two records name it when the first could not note that it let go of it (its disk was full):
 * then it is the running one's.
 */
export function withoutStaleSlots(records: readonly CapsuleRecord[]): CapsuleRecord[] {
  const running = new Set(
    records.filter(({ state }) => state === "running").map(({ slotIndex }) => slotIndex),
  );
  return records.map((record) =>
    record.state !== "running" && running.has(record.slotIndex)
      ? { ...record, slotIndex: undefined }
      : record,
  );
}

function apply(record: CapsuleRecord, entry: Step): CapsuleRecord {
  switch (entry.step) {
    case "create":
      return record;
    case "run_dir":
      return { ...record, runDir: true };
    case "disk":
      return { ...record, diskPath: entry.path };
    case "slot":
      return { ...record, slotIndex: entry.index };
    case "machine":
      return { ...record, machine: true };
    case "started":
      return { ...record, process: entry.process, guestUrl: entry.guestUrl };
    case "claim":
      return { ...record, accessToken: entry.accessToken };
    case "running":
      return { ...record, ...dataOf(entry), state: "running" };
    case "failed":
      return { ...record, ...dataOf(entry), state: "error" };
    case "destroy":
      return { ...record, ...dataOf(entry), state: "stopping" };
    case "release":
      // Letting go of the rest again is fine, and it may not have been done yet. A slot may be another's by now: if it
      // is not, it is one that nothing names.
      return entry.holding === "slot" ? { ...record, slotIndex: undefined } : record;
  }
}

function dataOf<S extends Step>(entry: S): Omit<S, "step" | "at"> {
  const { step: _, at: __, ...data } = entry as S & { at?: string };
  return data as Omit<S, "step" | "at">;
}
