import { noteRunning } from "../capsules/create.ts";
import type { CapsuleOperations } from "../capsules/operations.ts";
import type { CapsuleStore } from "../capsules/store.ts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Log } from "../log.ts";
import type { Observed } from "./observed.ts";

export interface SettleParts {
  store: CapsuleStore;
  operations: CapsuleOperations;
  logger: Log;
}

/**
 * Makes a row say what its host observed, where nobody has commanded anything else. What is under way in this process
 * is left to it; what is under way in another finds the row where it would have brought it.
 *
 * @returns `orphan` when the host has what it should not have.
 */
export async function settleObserved(
  row: CapsuleRow,
  observed: Observed,
  parts: SettleParts,
): Promise<"orphan" | undefined> {
  if (row.state === "stopped") return isGone(observed) ? undefined : "orphan";
  if (row.state === "error") return isGone(observed) || isUnreadable(observed) ? undefined : "orphan";
  if (observed.generation !== row.generation || observed.revision < row.revision) return undefined;
  if (parts.operations.has(row.id)) return undefined;
  if (row.state === "starting") return settleStarting(row, observed, parts);
  if (row.state === "stopping") return settleStopping(row, observed, parts);
  return settleLive(row, observed, parts);
}

/** A capsule that was read as live and of which its host, asked after that, knows nothing. */
export async function settleLost(row: CapsuleRow, { store, logger }: SettleParts): Promise<void> {
  if (await store.move(row, "error", { reason: "lost" })) {
    logger.warn({ capsule: row.id, reason: "lost" }, "the host has lost a capsule");
  }
}

/** It may run yet, and who knows the host may mend its journal. Only who owns it decides that it goes. */
function isUnreadable({ reason }: Observed): boolean {
  return reason === "journal_unreadable";
}

/** Whether a capsule is no more, or on its way there. */
export function isGone({ state }: Observed): boolean {
  return state === "stopped" || state === "stopping";
}

/** Whoever began it, if it lives, hears the same from the host. */
async function settleStarting(
  row: CapsuleRow,
  observed: Observed,
  { store }: SettleParts,
): Promise<undefined> {
  if (observed.state === "running") await noteRunning(row, observed, store);
  else if (observed.state === "error" || observed.state === "stopped") {
    await store.move(row, "error", { reason: observed.reason ?? "interrupted", revision: observed.revision });
  }
}

async function settleStopping(
  row: CapsuleRow,
  observed: Observed,
  { store }: SettleParts,
): Promise<undefined> {
  if (observed.state === "stopped") await store.move(row, "stopped", { reason: "destroyed" });
}

async function settleLive(
  row: CapsuleRow,
  observed: Observed,
  { store, logger }: SettleParts,
): Promise<"orphan" | undefined> {
  if (observed.state !== "error" && observed.state !== "stopped") {
    if (observed.revision > row.revision) await store.noteRevision(row, observed.revision);
    return undefined;
  }
  const drained = observed.state === "stopped" && observed.reason === "host_drained";
  const { reason = "lost", detail, revision } = observed;
  const moved = drained
    ? await store.noteStopped(row, reason)
    : await store.move(row, "error", { reason, detail, revision });
  if (moved) logger.warn({ capsule: row.id, state: moved.state, reason }, "a capsule has ended by itself");
  return moved && observed.state === "error" && !isUnreadable(observed) ? "orphan" : undefined;
}
