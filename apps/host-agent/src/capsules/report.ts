import type { CapsuleState } from "@wrenn/contracts";
import type { ReportedCapsule } from "@wrenn/contracts/rest";
import { wrennVersion } from "@wrenn/daemon";
import type { CapsuleVersions } from "../journal/entry.ts";
import { reportedTimeRules, type TimeRules } from "../time-rules/time-rules.ts";
import { diskMibOf } from "./disk-size.ts";

/** What a report tells of a capsule. */
interface Reportable {
  readonly id: string;
  readonly state: CapsuleState;
  readonly generation: number;
  readonly revision: number;
  readonly reason: string;
  readonly detail: string;
  readonly startedAt: string | undefined;
  readonly versions: CapsuleVersions | undefined;
  readonly time: { readonly rules: TimeRules };
  readonly record: { readonly diskBytes?: number | undefined };
}

/** As much of a log as a report may carry. */
const maxDetailLength = 4096;

/** A capsule as the control plane is told of it. */
export function toReport(capsule: Reportable): ReportedCapsule {
  const { versions, record } = capsule;
  return {
    id: capsule.id,
    state: capsule.state,
    generation: capsule.generation,
    revision: capsule.revision,
    ...(capsule.reason && { reason: capsule.reason }),
    ...(capsule.detail && { detail: capsule.detail.slice(-maxDetailLength) }),
    ...(capsule.startedAt && { started_at: capsule.startedAt }),
    ...(record.diskBytes !== undefined && { disk_size_mb: diskMibOf(record.diskBytes) }),
    time_rules: reportedTimeRules(capsule.time.rules),
    versions: versions
      ? {
          image_version: versions.imageVersion,
          kernel_version: versions.kernelVersion,
          envd_version: versions.envdVersion,
          agent_version: wrennVersion,
          vmm: versions.vmm,
          vmm_version: versions.vmmVersion,
        }
      : {},
  };
}
