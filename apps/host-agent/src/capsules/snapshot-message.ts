import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Snapshot, SnapshotSchema } from "@wrenn/contracts/host";
import type { SnapshotDescription } from "./service.ts";

/** A snapshot as the control plane gets it. */
export function toSnapshotMessage({ manifest, sizeBytes }: SnapshotDescription): Snapshot {
  const { id, capsule, template, vcpus, memoryMib, diskBytes, createdAt } = manifest;
  return create(SnapshotSchema, {
    ...{ id, capsuleId: capsule, template, vcpus, memoryMib },
    diskMib: Math.floor(diskBytes / (1024 * 1024)),
    sizeBytes: BigInt(sizeBytes),
    createdAt: timestampFromDate(new Date(createdAt)),
  });
}
