import type { CapsuleRow } from "../database/schema.ts";

/** What a capsule may do in time, by column. */
export type TimeRuleColumns = Pick<CapsuleRow, "timeout_sec" | "max_run_sec" | "on_timeout">;

/** What a capsule may do in time, as its host is told. */
export function timeRulesOf(row: TimeRuleColumns) {
  return { idleTimeoutSec: row.timeout_sec, maxRunSec: row.max_run_sec, action: row.on_timeout };
}
