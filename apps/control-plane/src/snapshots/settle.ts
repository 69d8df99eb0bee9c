import { WrennError } from "@wrenn/contracts";
import type { CapsuleOperations } from "../capsules/operations.ts";
import type { CapsuleStore } from "../capsules/store.ts";
import type { SnapshotRow } from "../database/schema.ts";
import type { Host } from "../hosts/host.ts";
import type { Hosts } from "../hosts/hosts.ts";
import type { Log } from "../log.ts";
import { deleteOnHost, finishDelete } from "./delete.ts";
import { factsOf } from "./facts.ts";
import type { SnapshotStore } from "./store.ts";

const listTimeoutMs = 10_000;

export interface SettleSnapshotsParts {
  snapshots: SnapshotStore;
  store: CapsuleStore;
  hosts: Hosts;
  operations: CapsuleOperations;
  logger: Log;
}

/**
 * Brings to an end what nobody works on any more: snapshots that a control plane was making or deleting when it died,
 * and those that could not be deleted because their host was away. A host that cannot be asked delays no other.
 */
export async function settleAbandonedSnapshots(parts: SettleSnapshotsParts): Promise<void> {
  const rows = (await parts.snapshots.abandoned()).filter((row) => !isUnderWay(row, parts));
  const byHost = Map.groupBy(rows, (row) => row.host_id);
  await Promise.all([...byHost].map(([hostId, ofHost]) => settleOnHost(hostId, ofHost, parts)));
}

/**
 * Makes rows and a host agree, both ways: what the host has and nobody knows is deleted, what it has lost is
 * forgotten.
 *
 * @throws {WrennError} when the host cannot be asked.
 */
export async function compareSnapshots(host: Host, parts: SettleSnapshotsParts): Promise<void> {
  const { snapshots, logger } = parts;
  // A row is ready after its host has the snapshot, and there before it: so it is read before the host, and after.
  const before = await snapshots.onHost(host.id);
  const onHost = await listOnHost(host);
  for (const row of before) {
    if (row.state !== "ready" || onHost.has(row.id) || !(await snapshots.forget(row))) continue;
    logger.warn({ snapshot: row.id, name: row.name, host: host.id }, "the host has lost a snapshot");
  }
  const known = new Set((await snapshots.onHost(host.id)).map(({ id }) => id));
  for (const id of onHost.keys()) {
    if (known.has(id)) continue;
    logger.warn({ snapshot: id, host: host.id }, "deleting a snapshot that should not be");
    await deleteOnHost(id, host);
  }
}

async function settleOnHost(hostId: string, rows: SnapshotRow[], parts: SettleSnapshotsParts): Promise<void> {
  const logger = parts.logger.child({ host: hostId });
  try {
    const deleting = rows.filter(({ state }) => state === "deleting");
    for (const row of deleting) await settleDeleting(row, { ...parts, logger });
    const creating = rows.filter(({ state }) => state === "creating");
    if (creating.length > 0) await settleCreating(hostId, creating, { ...parts, logger });
  } catch (error) {
    if (!(error instanceof WrennError)) throw error;
    logger.warn({ code: error.code, reason: error.message }, "abandoned snapshots wait for their host");
  }
}

async function settleDeleting(row: SnapshotRow, parts: SettleSnapshotsParts): Promise<void> {
  if (isUnderWay(row, parts)) return;
  const { snapshots: store, hosts, operations, logger } = parts;
  await operations.run(row.id, () => finishDelete(row, { store, hosts }, logger));
}

async function settleCreating(
  hostId: string,
  rows: SnapshotRow[],
  parts: SettleSnapshotsParts,
): Promise<void> {
  const { snapshots, store, hosts, logger } = parts;
  const capsules = await store.findMany(rows.map((row) => row.capsule_id));
  const busy = new Set(capsules.filter(({ state }) => state === "snapshotting").map(({ id }) => id));
  // Asked after its capsule was seen to be through: then the host has it, or never will.
  const onHost = await listOnHost(await hosts.get(hostId));
  for (const row of rows) {
    if (busy.has(row.capsule_id) || isUnderWay(row, parts)) continue;
    const found = onHost.get(row.id);
    const settled = found ? await snapshots.markReady(row, factsOf(found)) : await snapshots.giveUp(row);
    const state = found ? "ready" : "deleting";
    if (settled) logger.warn({ snapshot: row.id, state }, "settled an interrupted snapshot");
  }
}

async function listOnHost(host: Host) {
  const { snapshots } = await host.agent.call((client) =>
    client.listSnapshots({}, { timeoutMs: listTimeoutMs }),
  );
  return new Map(snapshots.map((snapshot) => [snapshot.id, snapshot]));
}

/** One is made under the id of its capsule, and deleted under its own. */
function isUnderWay(row: SnapshotRow, { operations }: SettleSnapshotsParts): boolean {
  return operations.has(row.id) || operations.has(row.capsule_id);
}
