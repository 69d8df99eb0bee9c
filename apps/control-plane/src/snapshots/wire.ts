import type { Template } from "@wrenn/contracts/rest";
import type { SnapshotRow } from "../database/schema.ts";

/** A snapshot as clients see it. Times are RFC 3339 in UTC. */
export function toWire(row: SnapshotRow): Template {
  return {
    name: row.name,
    type: "snapshot",
    vcpus: row.vcpus,
    memory_mb: row.memory_mib,
    ...(row.disk_mib !== null && { disk_size_mb: row.disk_mib }),
    ...(row.size_bytes !== null && { size_bytes: Number(row.size_bytes) }),
    created_at: row.created_at.toISOString(),
    platform: false,
  };
}

/** A template that hosts have from an image: everybody's. */
export function baseTemplate(name: string): Template {
  return { name, type: "base", platform: true };
}
