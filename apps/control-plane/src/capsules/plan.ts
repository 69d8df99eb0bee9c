import { type CapsuleSize, defaultMemoryMib, defaultVcpus, sizeProblem, WrennError } from "@wrenn/contracts";
import type { CreateCapsuleBody } from "@wrenn/contracts/rest";
import type { SnapshotRow } from "../database/schema.ts";
import type { SnapshotStore } from "../snapshots/store.ts";
import type { NewCapsule } from "./store.ts";

/** What is to be made of a request for a capsule. */
export interface CapsulePlan {
  capsule: Omit<NewCapsule, "id">;
  /** The snapshot that it is a copy of: it is made where that lies. */
  snapshot: SnapshotRow | undefined;
}

/**
 * Says what a capsule is made from, and which size it has. A team's snapshot goes before a template of the platform that
 * got its name later.
 *
 * @throws {WrennError} `invalid_request` for a size that cannot be had.
 */
export async function planCapsule(
  teamId: string,
  body: CreateCapsuleBody,
  snapshots: SnapshotStore,
): Promise<CapsulePlan> {
  const snapshot = await snapshots.find(teamId, body.template);
  const size = snapshot ? sizeOf(snapshot, body) : checkSize(body);
  const capsule = {
    teamId,
    template: body.template,
    ...size,
    timeoutSec: body.timeout_sec,
    maxRunSec: body.max_run_sec,
    onTimeout: body.on_timeout,
    autoResume: body.auto_resume,
    metadata: body.metadata,
    diskMib: body.disk_size_mb || undefined,
  };
  return { capsule, snapshot };
}

/** Memory that was saved has the size that it has. */
function sizeOf(snapshot: SnapshotRow, body: CreateCapsuleBody): CapsuleSize {
  const { name, vcpus, memory_mib: memoryMib, disk_mib: diskMib } = snapshot;
  const refuse = (field: string, has: string): never => {
    throw new WrennError("invalid_request", `${field}: snapshot "${name}" has ${has}; leave it out`, {
      field,
    });
  };
  if (body.vcpus > 0 && body.vcpus !== vcpus) refuse("vcpus", `${vcpus} vCPUs`);
  if (body.memory_mb > 0 && body.memory_mb !== memoryMib) refuse("memory_mb", `${memoryMib} MiB`);
  if (body.disk_size_mb > 0 && diskMib !== null && body.disk_size_mb < diskMib) {
    refuse("disk_size_mb", `a disk of ${diskMib} MiB, which cannot become smaller`);
  }
  return { vcpus, memoryMib };
}

/** Clients send 0 for "what is usual". */
function checkSize(body: CreateCapsuleBody): CapsuleSize {
  const size = {
    vcpus: body.vcpus > 0 ? body.vcpus : defaultVcpus,
    memoryMib: body.memory_mb > 0 ? body.memory_mb : defaultMemoryMib,
  };
  const problem = sizeProblem(size);
  if (!problem) return size;
  const field = problem.part === "vcpus" ? "vcpus" : "memory_mb";
  throw new WrennError("invalid_request", `${field} must be one of ${problem.choices.join(", ")}`, { field });
}
