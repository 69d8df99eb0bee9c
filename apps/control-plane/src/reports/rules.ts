import { newId } from "@wrenn/contracts";
import type { BackgroundTasks } from "../background-tasks.ts";
import type { CapsuleStore } from "../capsules/store.ts";
import { type TimeRuleColumns, timeRulesOf } from "../capsules/time-rules.ts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Host } from "../hosts/host.ts";
import type { Log } from "../log.ts";
import type { Observed } from "./observed.ts";
import { isGone } from "./settle.ts";

const updateTimeoutMs = 10_000;

export interface RulesParts {
  store: CapsuleStore;
  background: BackgroundTasks;
  logger: Log;
}

/** Has a host enforce what a row says of a capsule's time, where it enforces something else. Nobody waits for that. */
export function correctRules(
  row: CapsuleRow,
  observed: Observed,
  host: Host,
  { store, background, logger }: RulesParts,
): void {
  if (observed.timeRules === undefined || isGone(observed) || areSame(row, observed.timeRules)) return;
  background.start("correct time rules", async () => {
    // They may have been changed since the row was read: then the newer ones are meant.
    const [now] = await store.findMany([row.id]);
    if (!now || now.host_id !== host.id) return;
    const operationId = newId("operation");
    logger.info({ capsule: row.id, operation: operationId }, "sending a capsule's time rules again");
    const request = { capsuleId: row.id, operationId, timeRules: timeRulesOf(now) };
    await host.agent.call((client) => client.updateCapsule(request, { timeoutMs: updateTimeoutMs }));
  });
}

function areSame(one: TimeRuleColumns, other: TimeRuleColumns): boolean {
  return (
    one.timeout_sec === other.timeout_sec &&
    one.max_run_sec === other.max_run_sec &&
    one.on_timeout === other.on_timeout
  );
}
