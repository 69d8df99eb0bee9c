import { newId } from "@wrenn/contracts";
import type { Capsule as HostCapsule, ListCapsulesResponse } from "@wrenn/contracts/host";
import type { Logger } from "@wrenn/daemon";
import { noteRunning } from "../capsules/create.ts";
import { finishStop } from "../capsules/destroy.ts";
import type { CapsuleOperations } from "../capsules/operations.ts";
import type { CapsuleStore } from "../capsules/store.ts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Host, Hosts } from "./service.ts";

export interface ReconcileParts {
  hosts: Hosts;
  store: CapsuleStore;
  operations: CapsuleOperations;
  logger: Logger;
  /** Start of this process by the database's clock: what was under way before has nobody who works on it. */
  startedAt: Date;
}

const listTimeoutMs = 10_000;
/** Longer than any create: then nobody works on it, whichever replica began it. */
const abandonedAfterMs = 15 * 60_000;

/**
 * Makes rows and a host agree, both ways. Rows are read before the host is asked, and each moves only if nothing
 * was commanded since; so what begins or ends meanwhile is left to the next time. A host that cannot be asked
 * changes nothing.
 */
export async function reconcileHost(host: Host, parts: ReconcileParts): Promise<void> {
  const rows = await parts.store.unsettledOrLive(host.id);
  const report = await host.agent.call((client) => client.listCapsules({}, { timeoutMs: listTimeoutMs }));
  host.noteEpoch(report.epoch);
  const reported = new Map(report.capsules.map((capsule) => [capsule.id, capsule]));
  for (const row of rows) {
    if (!parts.operations.has(row.id)) await settleRow(row, reported.get(row.id), host, parts);
  }
  await destroyOrphans(report, rows, host, parts);
}

async function settleRow(
  row: CapsuleRow,
  reported: HostCapsule | undefined,
  host: Host,
  parts: ReconcileParts,
): Promise<void> {
  const { store, logger } = parts;
  switch (row.state) {
    case "running":
      return settleRunning(row, reported, parts);
    case "pending":
    case "starting":
      if (isAbandoned(row, parts.startedAt)) await settleStarting(row, reported, host, parts);
      return;
    case "stopping":
      await finishStop(row, parts.hosts, store, logger);
      return;
    default:
      return;
  }
}

async function settleRunning(
  row: CapsuleRow,
  reported: HostCapsule | undefined,
  { store, logger }: ReconcileParts,
): Promise<void> {
  if (reported && reported.state !== "error" && reported.state !== "stopped") return;
  const reason = reported?.reason || "lost";
  if (await store.move(row, "error", { reason })) {
    logger.warn({ capsule: row.id, reason }, "a running capsule has ended by itself");
  }
}

async function settleStarting(
  row: CapsuleRow,
  reported: HostCapsule | undefined,
  host: Host,
  { store, logger }: ReconcileParts,
): Promise<void> {
  if (reported?.state === "starting") return; // the host is still at it
  const moved =
    reported?.state === "running"
      ? await noteRunning(row, reported, host, store)
      : await store.move(row, "error", { reason: reported?.reason || "interrupted" });
  if (moved) logger.warn({ capsule: row.id, state: moved.state }, "settled an interrupted create");
}

function isAbandoned(row: CapsuleRow, processStartedAt: Date): boolean {
  return row.updated_at < processStartedAt || Date.now() - row.updated_at.getTime() > abandonedAfterMs;
}

/**
 * Ends what runs on the host and should not. A row is committed before its host is asked to create it, so one that
 * cannot be found after the report does not exist; a row that is not this host's is left alone.
 */
async function destroyOrphans(
  report: ListCapsulesResponse,
  rows: CapsuleRow[],
  host: Host,
  { store, operations, logger }: ReconcileParts,
): Promise<void> {
  const expected = new Set(rows.map((row) => row.id));
  const unexpected = report.capsules.filter(({ id }) => !expected.has(id) && !operations.has(id));
  const known = new Map((await store.findMany(unexpected.map(({ id }) => id))).map((row) => [row.id, row]));
  for (const { id, generation } of unexpected) {
    const row = known.get(id);
    if (row && row.state !== "stopped" && row.state !== "error") continue;
    const newest = row && row.generation > generation ? row.generation : generation;
    const operationId = newId("operation");
    logger.warn({ capsule: id, operation: operationId, state: row?.state }, "destroying an orphaned capsule");
    await host.agent.call((client) =>
      client.destroyCapsule({ capsuleId: id, generation: newest, operationId }, { timeoutMs: 60_000 }),
    );
  }
}
