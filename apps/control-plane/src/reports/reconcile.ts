import { isId, isTransitional, WrennError } from "@wrenn/contracts";
import type { HostReportBody } from "@wrenn/contracts/rest";
import type { CapsuleRow } from "../database/schema.ts";
import type { Host } from "../hosts/host.ts";
import { askHost } from "./ask.ts";
import { fromReport, type Observed } from "./observed.ts";
import { destroyOrphan, type OrphanParts } from "./orphans.ts";
import { correctRules } from "./rules.ts";
import { isEnded, isGone, settleAnswered, settleObserved } from "./settle.ts";
import { settleAbandonedRow } from "./settle-abandoned.ts";
import type { SettlerParts } from "./settler.ts";

export type ReconcileParts = SettlerParts & OrphanParts;

/**
 * Makes rows and a host's report agree, both ways. Each row moves only if nothing was commanded since it was read, so
 * reports may be taken at once by several replicas, and twice.
 *
 * @returns false when the host had to be asked and could not be, or when another control plane works on what it tells
 * of: then the report has to come again.
 */
export async function reconcile(host: Host, report: HostReportBody, parts: ReconcileParts): Promise<boolean> {
  const reported = new Map(report.capsules.map((capsule) => [capsule.id, fromReport(capsule)]));
  const isSettled = await settleReported(host, reported, parts);
  if (report.base_revision !== undefined) return isSettled;
  return (await settleAbsent(host, reported, parts)) && isSettled;
}

/**
 * A row is committed before its host is asked to create it, so one that cannot be found after the report does not
 * exist. A row that is not this host's is left alone: a host has no say in what is on another.
 */
async function settleReported(
  host: Host,
  reported: ReadonlyMap<string, Observed>,
  parts: ReconcileParts,
): Promise<boolean> {
  const ids = [...reported.keys()].filter((id) => isId("capsule", id));
  const rows = new Map((await parts.store.findMany(ids)).map((row) => [row.id, row]));
  let isSettled = true;
  for (const observed of reported.values()) {
    const row = rows.get(observed.id);
    const verdict = await judge(row, observed, host, parts);
    if (verdict === "orphan") {
      const newest = row && row.generation > observed.generation ? row.generation : observed.generation;
      destroyOrphan({ id: observed.id, generation: newest }, host, parts);
    } else if (row?.host_id === host.id) {
      correctRules(row, observed, host, parts);
    }
    if (row && verdict === "busy") isSettled = settleBusy(row, observed, parts) && isSettled;
  }
  return isSettled;
}

/** Settles what a host has with its row, if there is one. */
async function judge(
  row: CapsuleRow | undefined,
  observed: Observed,
  host: Host,
  parts: ReconcileParts,
): Promise<"orphan" | "busy" | undefined> {
  if (!row || row.host_id === null) return isGone(observed) ? undefined : "orphan";
  if (row.host_id !== host.id && !isEnded(row)) return undefined;
  return settleObserved(row, observed, parts);
}

/** @returns false when another control plane works on the capsule, so that the host has to tell once more. */
function settleBusy(row: CapsuleRow, observed: Observed, parts: ReconcileParts): boolean {
  if (parts.operations.has(row.id)) {
    settleLater(observed, parts);
    return true;
  }
  if (!parts.store.isOurs(row) || observed.generation !== row.generation) return false;
  // Ours was cut off, and the host has ended it, one way or the other.
  parts.background.start("settle a command that was cut off", () => settleAbandonedRow(row, observed, parts));
  return true;
}

/**
 * Settles what was observed of a capsule that is worked on here once that is over: it may be younger than the answer
 * that the work ends with.
 */
function settleLater(observed: Observed, parts: ReconcileParts): void {
  const { operations, store, background } = parts;
  background.start("settle what was observed during an operation", async () => {
    while (operations.has(observed.id)) await operations.idle(observed.id);
    const [row] = await store.findMany([observed.id]);
    if (row) await settleObserved(row, observed, parts);
  });
}

/**
 * Rows that should be on the host, and of which its full report knows nothing. While something is being done to one,
 * whoever does it, or the settler, says how that ends.
 */
async function settleAbsent(
  host: Host,
  reported: ReadonlyMap<string, Observed>,
  parts: ReconcileParts,
): Promise<boolean> {
  const absent = (await parts.store.liveOn(host.id)).filter(
    (row) => !reported.has(row.id) && !isTransitional(row.state) && !parts.operations.has(row.id),
  );
  if (absent.length === 0) return true;
  // The report may be older than the row.
  const answer = await askHost(host).catch((error: unknown) => {
    if (!(error instanceof WrennError)) throw error;
    parts.logger.warn({ code: error.code, reason: error.message }, "the host could not be asked");
    return undefined;
  });
  if (!answer) return false;
  for (const row of absent) await settleAnswered(row, answer(row.id), parts);
  return true;
}
