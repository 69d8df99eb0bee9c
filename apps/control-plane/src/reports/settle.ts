import { isTransitional } from "@wrenn/contracts";
import type { CapsuleOperations } from "../capsules/operations.ts";
import type { CapsuleStore } from "../capsules/store.ts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Log } from "../log.ts";
import type { Answered } from "./ask.ts";
import type { Observed } from "./observed.ts";

export interface SettleParts {
  store: CapsuleStore;
  operations: CapsuleOperations;
  logger: Log;
}

/** What rows are settled with. */
type RowParts = Pick<SettleParts, "store" | "logger">;

/**
 * Makes a row say what its host observed, where nobody has commanded anything else. What is under way in this process
 * is left to it; what is under way in another finds the row where it would have brought it.
 *
 * @returns `orphan` when the host has what it should not have; `busy` when what it observed has to be told once more,
 * since somebody works on the capsule, who may have heard something older.
 */
export async function settleObserved(
  row: CapsuleRow,
  observed: Observed,
  parts: SettleParts,
): Promise<"orphan" | "busy" | undefined> {
  if (isEnded(row)) return isGone(observed) || isUnreadable(observed) ? undefined : "orphan";
  if (observed.revision < row.revision) return undefined;
  // The copies of a fork are settled with its row, by whoever made them or by the settler.
  if (parts.operations.has(row.id) || row.state === "snapshotting") {
    return isTransitional(observed.state) || observed.revision === row.revision ? undefined : "busy";
  }
  if (row.state === "starting") await settleStarting(row, observed, parts);
  else if (row.state === "stopping") await settleStopping(row, observed, parts);
  else if (isOfThisCommand(row, observed)) await settle(row, observed, parts);
  return undefined;
}

/**
 * Makes a row say what its host said when it was asked after a command of ours that it has refused. It may never have
 * heard of that command's generation.
 */
export async function settleAnswered(row: CapsuleRow, answered: Answered, parts: RowParts): Promise<void> {
  if (answered === undefined) await settleLost(row, parts);
  else if (answered !== "unclear") await settle(row, answered, parts);
}

/** A capsule that was read as live and of which its host, asked after that, knows nothing. */
export async function settleLost(row: CapsuleRow, { store, logger }: RowParts): Promise<void> {
  if (await store.noteLost(row)) {
    logger.warn({ capsule: row.id, reason: "lost" }, "the host has lost a capsule");
  }
}

/** Whether nobody has a capsule any more: it was destroyed, or its create failed. One that ran keeps its disk. */
export function isEnded({ state, started_at }: CapsuleRow): boolean {
  return state === "stopped" || (state === "error" && started_at === null);
}

/** Whether a capsule is no more, or on its way there. */
export function isGone({ state }: Observed): boolean {
  return state === "stopped" || state === "stopping";
}

/** It may run yet, and who knows the host may mend its journal. Only who owns it decides that it goes. */
function isUnreadable({ reason }: Observed): boolean {
  return reason === "journal_unreadable";
}

/**
 * A host that refused a command may never have noted its generation, and what it observes after that is of the one
 * before. While a command is under way, only what the host observes of that one says anything.
 */
function isOfThisCommand(row: CapsuleRow, observed: Observed): boolean {
  if (isTransitional(row.state)) return observed.generation === row.generation;
  return observed.generation <= row.generation;
}

/** Whoever began it, if it lives, hears the same from the host. */
async function settleStarting(row: CapsuleRow, observed: Observed, parts: RowParts): Promise<void> {
  if (observed.generation !== row.generation || isTransitional(observed.state)) return;
  if (observed.state !== "error" && observed.state !== "stopped") return settle(row, observed, parts);
  // Then it is created on another host, by whoever began it.
  if (observed.reason === "host_full") return;
  await parts.store.noteFailedCreate(row, observed.reason ?? "interrupted");
}

async function settleStopping(row: CapsuleRow, observed: Observed, { store }: RowParts): Promise<void> {
  if (observed.state === "stopped" && observed.generation === row.generation) {
    await store.noteStopped(row, "destroyed");
  }
}

/** Where something is being done on the host, what is observed next says how it ended. */
async function settle(row: CapsuleRow, observed: Observed, { store, logger }: RowParts): Promise<void> {
  if (isTransitional(observed.state) || isSame(row, observed)) {
    const isNews = observed.revision > row.revision || (observed.diskMib ?? row.disk_mib) !== row.disk_mib;
    if (isNews) await store.noteRevision(row, observed);
    return;
  }
  const ended = observed.state === "error" || observed.state === "stopped";
  const moved = await store.observe(row, ended ? withReason(observed) : observed);
  if (!moved || moved.state === row.state) return;
  const line = { capsule: row.id, from: row.state, state: moved.state, reason: moved.reason };
  if (ended) logger.warn(line, "a capsule has ended by itself");
  else logger.info(line, "a capsule has moved by itself");
}

/** The end of a capsule always has a reason. One that its host has ended without saying why is lost. */
function withReason(observed: Observed): Observed {
  if (observed.reason !== undefined) return observed;
  return { ...observed, state: "error", reason: "lost" };
}

function isSame(row: CapsuleRow, { state, reason, detail }: Observed): boolean {
  return row.state === state && row.reason === (reason ?? null) && row.detail === (detail ?? row.detail);
}
