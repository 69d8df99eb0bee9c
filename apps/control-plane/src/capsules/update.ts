import { newId, WrennError } from "@wrenn/contracts";
import type { UpdateCapsuleBody } from "@wrenn/contracts/rest";
import type { CapsuleRow } from "../database/schema.ts";
import type { Hosts } from "../hosts/hosts.ts";
import type { Log } from "../log.ts";
import type { Activity } from "./activity.ts";
import { refuseVersionNames } from "./metadata.ts";
import type { CapsuleService } from "./service.ts";
import type { CapsuleSettings, CapsuleStore, PlacedCapsule } from "./store.ts";
import { timeRulesOf } from "./time-rules.ts";

const updateTimeoutMs = 10_000;
const touchTimeoutMs = 10_000;

export interface CapsuleUpdateParts {
  capsules: CapsuleService;
  store: CapsuleStore;
  hosts: Hosts;
  activity: Activity;
}

/** What is changed of capsules without moving them: their settings, and the clock of their inactivity. */
export class CapsuleUpdates {
  readonly #parts: CapsuleUpdateParts;

  constructor(parts: CapsuleUpdateParts) {
    this.#parts = parts;
  }

  /**
   * Changes settings of a capsule. The row is what is wanted: a host that cannot be told now is told when it has
   * reported other rules.
   */
  async update(teamId: string, id: string, body: UpdateCapsuleBody, logger: Log): Promise<PlacedCapsule> {
    const { capsules, store } = this.#parts;
    refuseVersionNames(body.metadata);
    const before = await capsules.get(teamId, id);
    const changed = await store.change(teamId, id, settingsOf(body));
    if (!changed) return before;
    const row = { ...before, ...changed };
    if (hasTimeRules(body) && isLive(row)) await this.#tellHost(row, logger);
    return row;
  }

  /**
   * Says that a capsule is used.
   *
   * @throws {WrennError} `invalid_state` when it does not run, `host_unavailable` when its host cannot be told.
   */
  async ping(teamId: string, id: string): Promise<void> {
    const { capsules, hosts, activity } = this.#parts;
    const row = await capsules.get(teamId, id);
    if (row.state !== "running") throw notRunning(id, row.state);
    const { agent } = hosts.of(row);
    try {
      await agent.call((client) => client.touchCapsule({ capsuleId: id }, { timeoutMs: touchTimeoutMs }));
    } catch (error) {
      // The host is right; its report says the same.
      if (error instanceof WrennError && (error.code === "not_found" || error.code === "invalid_state")) {
        throw new WrennError("invalid_state", `capsule ${id} does not run any more`, { cause: error });
      }
      throw error;
    }
    activity.touch(id);
  }

  async #tellHost(row: PlacedCapsule, logger: Log): Promise<void> {
    const operationId = newId("operation");
    const request = { capsuleId: row.id, operationId, timeRules: timeRulesOf(row) };
    try {
      await this.#parts.hosts
        .of(row)
        .agent.call((client) => client.updateCapsule(request, { timeoutMs: updateTimeoutMs }));
    } catch (error) {
      if (!(error instanceof WrennError)) throw error;
      const { code, message: reason } = error;
      logger.warn(
        { capsule: row.id, operation: operationId, code, reason },
        "the host was not told new rules",
      );
    }
  }
}

function settingsOf({ timeout_sec, max_run_sec, on_timeout, auto_resume, metadata }: UpdateCapsuleBody) {
  const settings: Record<string, unknown> = { timeout_sec, max_run_sec, on_timeout, auto_resume, metadata };
  const given = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as CapsuleSettings;
}

function hasTimeRules({ timeout_sec, max_run_sec, on_timeout }: UpdateCapsuleBody): boolean {
  return timeout_sec !== undefined || max_run_sec !== undefined || on_timeout !== undefined;
}

/** Whether its host has it, as far as we know. */
function isLive({ state, host_id: host }: CapsuleRow): boolean {
  return host !== null && state !== "stopping" && state !== "stopped";
}

function notRunning(id: string, state: string): WrennError {
  return new WrennError("invalid_state", `capsule ${id} is in state "${state}", it has to be running`);
}
