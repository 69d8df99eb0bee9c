import { newId, WrennError } from "@wrenn/contracts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Hosts } from "../hosts/hosts.ts";
import type { Log } from "../log.ts";
import type { CapsuleStore } from "./store.ts";

const destroyTimeoutMs = 60_000;
/** A capsule that changes hands more often than this while we look is not changing, we are wrong. */
const maxAttempts = 8;

/** Commands the end of a capsule: from now on it is `stopping`, and ends as `stopped` whatever happens to us. */
export async function commandStop(row: CapsuleRow, store: CapsuleStore): Promise<CapsuleRow> {
  let seen = row;
  for (let attempt = 0; attempt < maxAttempts; attempt += 1) {
    if (seen.state === "stopping" || seen.state === "stopped") return seen;
    const stopping = await store.move(seen, "stopping", { generation: seen.generation + 1n });
    if (stopping) return stopping;
    seen = (await store.find(row.team_id, row.id)) ?? seen;
  }
  throw new WrennError("conflict", `capsule ${row.id} changes too fast; try again`);
}

/**
 * Ends a stopping capsule whose host is silent, without it. When the host comes back, its first report is a full one, and
 * holds what it should not have.
 */
export async function abandonStop(
  stopping: CapsuleRow,
  hosts: Hosts,
  store: CapsuleStore,
  logger: Log,
): Promise<void> {
  const stopped = await store.noteStopped(stopping, "host_unreachable");
  if (!stopped || stopping.host_id === null) return;
  await hosts.wantFullReport(stopping.host_id);
  const line = { capsule: stopping.id, host: stopping.host_id };
  logger.warn(line, "capsule destroyed while its host is silent");
}

/**
 * Ends a stopping capsule on its host and notes it. Repeating it is fine.
 *
 * @param logger names the capsule.
 * @throws {WrennError} `host_unavailable` when the host cannot be reached: the row stays `stopping`.
 */
export async function finishStop(
  stopping: CapsuleRow,
  hosts: Hosts,
  store: CapsuleStore,
  logger: Log,
): Promise<void> {
  if (stopping.state === "stopped") return;
  const operationId = newId("operation");
  if (stopping.host_id !== null) {
    const request = { capsuleId: stopping.id, generation: stopping.generation, operationId };
    const { agent } = await hosts.get(stopping.host_id);
    await agent.call((client) => client.destroyCapsule(request, { timeoutMs: destroyTimeoutMs }));
  }
  const stopped = await store.move(stopping, "stopped", { reason: "destroyed" });
  if (stopped) logger.info({ operation: operationId, host: stopping.host_id }, "capsule destroyed");
}
