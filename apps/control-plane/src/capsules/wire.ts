import { type CapsuleStatus, statusOf } from "@wrenn/contracts";
import type { Capsule } from "@wrenn/contracts/rest";
import type { CapsuleRow } from "../database/schema.ts";
import type { PlacedCapsule } from "./store.ts";

/** Statuses that only their host knows to be still true. */
const hostsWord: readonly CapsuleStatus[] = ["pending", "starting", "running", "paused"];

/**
 * A row as clients see it. While its host is silent, a capsule that lives there is `missing`; its row stays what it
 * is. Times are RFC 3339 in UTC.
 */
export function toWire(row: CapsuleRow & Partial<Pick<PlacedCapsule, "host_silent">>): Capsule {
  const status = statusOf(row.state);
  return {
    id: row.id,
    status: row.host_silent && hostsWord.includes(status) ? "missing" : status,
    state: row.state,
    ...(row.reason !== null && { reason: row.reason }),
    ...(row.detail !== null && { detail: row.detail }),
    template: row.template,
    vcpus: row.vcpus,
    memory_mb: row.memory_mib,
    ...(row.disk_mib !== null && { disk_size_mb: row.disk_mib }),
    timeout_sec: row.timeout_sec,
    max_run_sec: row.max_run_sec,
    on_timeout: row.on_timeout,
    auto_resume: row.auto_resume,
    created_at: row.created_at.toISOString(),
    ...(row.started_at && { started_at: row.started_at.toISOString() }),
    ...(row.last_active_at && { last_active_at: row.last_active_at.toISOString() }),
    last_updated: row.updated_at.toISOString(),
    metadata: { ...row.metadata, ...row.versions },
  };
}
