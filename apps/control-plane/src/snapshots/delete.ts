import type { SnapshotRow } from "../database/schema.ts";
import type { Host } from "../hosts/host.ts";
import type { Hosts } from "../hosts/hosts.ts";
import type { Log } from "../log.ts";
import type { SnapshotStore } from "./store.ts";

const deleteTimeoutMs = 30_000;

/**
 * Has the host let go of a snapshot that is `deleting`, and forgets it. Repeating it is fine.
 *
 * @throws {WrennError} `host_unavailable` when the host cannot be reached: the row stays.
 */
export async function finishDelete(
  deleting: SnapshotRow,
  { store, hosts }: { store: SnapshotStore; hosts: Hosts },
  logger: Log,
): Promise<void> {
  await deleteOnHost(deleting.id, await hosts.get(deleting.host_id));
  if (!(await store.forget(deleting))) return;
  logger.info({ snapshot: deleting.id, name: deleting.name, host: deleting.host_id }, "snapshot deleted");
}

/** Capsules that stand on it are not affected. */
export async function deleteOnHost(snapshotId: string, host: Host): Promise<void> {
  await host.agent.call((client) => client.deleteSnapshot({ snapshotId }, { timeoutMs: deleteTimeoutMs }));
}
