import { statusOf } from "@wrenn/contracts";
import type { Capsule } from "@wrenn/contracts/rest";
import type { CapsuleRow } from "../database/schema.ts";

/** A row as clients see it. Times are RFC 3339 in UTC. */
export function toWire(row: CapsuleRow): Capsule {
  return {
    id: row.id,
    status: statusOf(row.state),
    state: row.state,
    ...(row.reason !== null && { reason: row.reason }),
    template: row.template,
    vcpus: row.vcpus,
    memory_mb: row.memory_mib,
    timeout_sec: row.timeout_sec,
    created_at: row.created_at.toISOString(),
    ...(row.started_at && { started_at: row.started_at.toISOString() }),
    ...(row.last_active_at && { last_active_at: row.last_active_at.toISOString() }),
    last_updated: row.updated_at.toISOString(),
    metadata: row.versions,
  };
}
