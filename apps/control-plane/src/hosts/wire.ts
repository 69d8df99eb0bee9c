import type { Host, HostStatus } from "@wrenn/contracts/rest";
import type { KnownHost } from "./store.ts";

/** A host as operators see it. Times are RFC 3339 in UTC. */
export function toWire(row: KnownHost): Host {
  const status = statusOf(row);
  const reason = reasonOf(row, status);
  return {
    id: row.id,
    type: row.type,
    status,
    ...(reason !== undefined && { reason }),
    ...(row.address !== null && { address: row.address }),
    ...(row.arch !== null && { arch: row.arch }),
    ...(row.cpu_cores !== null && { cpu_cores: row.cpu_cores }),
    ...(row.memory_mib !== null && { memory_mb: row.memory_mib }),
    ...(row.disk_gib !== null && { disk_gb: row.disk_gib }),
    ...(row.agent_version !== null && { agent_version: row.agent_version }),
    ...(row.last_report_at && { last_heartbeat_at: row.last_report_at.toISOString() }),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

export function statusOf(row: Pick<KnownHost, "registered_at" | "silent">): HostStatus {
  if (row.registered_at === null) return "pending";
  return row.silent ? "unreachable" : "online";
}

function reasonOf(row: KnownHost, status: HostStatus): string | undefined {
  if (status === "pending") return "no agent has registered yet; start one with the registration token";
  if (status === "online") return row.problem ?? undefined;
  return row.last_report_at === null
    ? "the agent has registered but not reported yet"
    : `the agent has not reported since ${row.last_report_at.toISOString()}; see whether it runs and reaches the control plane`;
}
