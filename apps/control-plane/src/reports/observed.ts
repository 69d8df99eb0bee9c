import { timestampDate } from "@bufbuild/protobuf/wkt";
import { type CapsuleState, isCapsuleState } from "@wrenn/contracts";
import type { Capsule, TimeRules } from "@wrenn/contracts/host";
import type { ReportedCapsule } from "@wrenn/contracts/rest";
import type { TimeRuleColumns } from "../capsules/time-rules.ts";
import { versionsOf } from "../capsules/versions.ts";
import type { CapsuleVersions } from "../database/schema.ts";

/** A capsule as its host sees it, whether the host reported it or was asked. */
export interface Observed {
  id: string;
  state: CapsuleState;
  reason: string | undefined;
  /** What led to `error`, for a person. Only reports have it. */
  detail: string | undefined;
  generation: bigint;
  revision: bigint;
  startedAt: Date | undefined;
  versions: CapsuleVersions;
  /** Undefined from a host of before there were any. */
  timeRules: TimeRuleColumns | undefined;
  /** MiB. */
  diskMib: number | undefined;
}

export function fromReport(capsule: ReportedCapsule): Observed {
  return {
    id: capsule.id,
    state: capsule.state,
    reason: capsule.reason,
    // PostgreSQL's text has no NUL; a VMM's log may have anything.
    detail: capsule.detail?.replaceAll("\0", ""),
    generation: BigInt(capsule.generation),
    revision: BigInt(capsule.revision),
    startedAt: capsule.started_at === undefined ? undefined : new Date(capsule.started_at),
    versions: capsule.versions,
    timeRules: capsule.time_rules,
    diskMib: capsule.disk_size_mb || undefined,
  };
}

/** Undefined for a capsule in a state that we do not know: its host is newer than we are. */
export function fromAnswer(capsule: Capsule, agentVersion: string | undefined): Observed | undefined {
  if (!isCapsuleState(capsule.state)) return undefined;
  return {
    id: capsule.id,
    state: capsule.state,
    reason: capsule.reason || undefined,
    detail: undefined,
    generation: capsule.generation,
    revision: capsule.revision,
    startedAt: capsule.startedAt && timestampDate(capsule.startedAt),
    versions: versionsOf(capsule, agentVersion),
    timeRules: capsule.timeRules && rulesFrom(capsule.timeRules),
    diskMib: capsule.diskMib || undefined,
  };
}

function rulesFrom({ idleTimeoutSec, maxRunSec, action }: TimeRules): TimeRuleColumns {
  return {
    timeout_sec: idleTimeoutSec,
    max_run_sec: maxRunSec,
    on_timeout: action === "destroy" ? "destroy" : "pause",
  };
}
