import { type CapsuleState, isTransitional, newId, WrennError } from "@wrenn/contracts";
import type { Capsule } from "@wrenn/contracts/host";
import type { CapsuleRow } from "../database/schema.ts";
import type { HostClient } from "../hosts/agent-client.ts";
import type { Host } from "../hosts/host.ts";
import type { Hosts } from "../hosts/hosts.ts";
import type { Log } from "../log.ts";
import { askHost } from "../reports/ask.ts";
import { fromAnswer, type Observed } from "../reports/observed.ts";
import { settleAnswered } from "../reports/settle.ts";
import { checkAllowed, type LifecycleOperation, stateDuring } from "./allowed.ts";
import type { CapsuleStore } from "./store.ts";

export interface CommandParts {
  store: CapsuleStore;
  hosts: Hosts;
}

/** What every command says to a host: which capsule, and that it is this command and none before. */
export interface CommandRequest {
  capsuleId: string;
  generation: bigint;
  operationId: string;
}

/** One command to a host, which answers with what has become of the capsule. */
export interface Command<Answer extends { capsule?: Capsule | undefined }> {
  operation: LifecycleOperation;
  /** Where the capsule is when it is done. */
  goals: readonly CapsuleState[];
  timeoutMs: number;
  send(client: HostClient, request: CommandRequest, options: { timeoutMs: number }): Promise<Answer>;
}

export interface Commanded<Answer> {
  capsule: CapsuleRow;
  answer: Answer;
}

/** Begins a command that needs nothing but its row: see {@link beginWith}. */
export function beginCommand(
  row: CapsuleRow,
  operation: LifecycleOperation,
  store: CapsuleStore,
): Promise<CapsuleRow> {
  const command = { generation: row.generation + 1n };
  return beginWith(row, operation, store, () => store.move(row, stateDuring[operation], command));
}

/**
 * Begins a command: from now on the row is in the state that it is in meanwhile, and belongs to this control plane.
 *
 * @param move moves the row, if nobody has commanded anything since it was seen.
 * @throws {WrennError} `invalid_state` when its state does not allow it, `conflict` when somebody else was faster.
 */
export async function beginWith<Begun>(
  row: CapsuleRow,
  operation: LifecycleOperation,
  store: CapsuleStore,
  move: () => Promise<Begun | undefined>,
): Promise<Begun> {
  checkAllowed(row, operation);
  const begun = await move();
  if (begun) return begun;
  const [now] = await store.findMany([row.id]);
  if (now) checkAllowed(now, operation);
  throw new WrennError("conflict", `capsule ${row.id} has changed meanwhile; look at it and try again`);
}

/**
 * Has the host do what a row says that is being done, and makes the row say what has become of it. The host joins a
 * command of the same generation that it has already, so repeating it is fine.
 *
 * When the host refuses, the row goes back to where the host says it is. When it cannot be reached, the row stays:
 * only the host knows whether it heard the command.
 *
 * @param before the row as it was, if that is known: where it goes back to if the host has refused and then is away.
 * @throws {WrennError} what the host said, or `invalid_state` when the capsule was destroyed meanwhile.
 */
export async function finishCommand<Answer extends { capsule?: Capsule | undefined }>(
  begun: CapsuleRow,
  command: Command<Answer>,
  { store, hosts }: CommandParts,
  logger: Log,
  before?: CapsuleRow,
): Promise<Commanded<Answer>> {
  const operationId = newId("operation");
  const log = logger.child({ capsule: begun.id, operation: operationId, host: begun.host_id });
  const startedAt = performance.now();
  const host = await hosts.get(begun.host_id);
  const request = { capsuleId: begun.id, generation: begun.generation, operationId };
  let answer: Answer;
  try {
    answer = await host.agent.call((client) =>
      command.send(client, request, { timeoutMs: command.timeoutMs }),
    );
  } catch (error) {
    throw await failed(begun, error, { store, hosts, host, before, log, operation: command.operation });
  }
  const capsule = await land(begun, await observedIn(answer, host), command, store);
  const durationMs = Math.round(performance.now() - startedAt);
  log.info({ kind: command.operation, state: capsule.state, durationMs }, "capsule command done");
  return { capsule, answer };
}

async function observedIn(answer: { capsule?: Capsule | undefined }, host: Host): Promise<Observed> {
  const description = await host.describe().catch(() => undefined); // a version is not worth a failure
  const observed = answer.capsule && fromAnswer(answer.capsule, description?.agentVersion);
  if (observed && !isTransitional(observed.state)) return observed;
  throw new WrennError("agent_error", `host ${host.id} gave an answer that we do not know what to do with`);
}

/** A report of the host may have been faster than its answer; a destroy may have been faster than both. */
async function land(
  begun: CapsuleRow,
  observed: Observed,
  { operation, goals }: Pick<Command<never>, "operation" | "goals">,
  store: CapsuleStore,
): Promise<CapsuleRow> {
  const landed = await store.observe(begun, observed);
  const now = landed ?? (await store.findMany([begun.id]))[0];
  if (now?.generation === begun.generation && goals.includes(now.state)) return now;
  throw overtaken(begun.id, operation, now);
}

function overtaken(id: string, operation: LifecycleOperation, now: CapsuleRow | undefined): WrennError {
  const state = now?.state ?? "stopped";
  return new WrennError(
    "invalid_state",
    `capsule ${id} is in state "${state}" now: ${operation} was overtaken`,
  );
}

interface FailureParts extends CommandParts {
  host: Host;
  before: CapsuleRow | undefined;
  log: Log;
  operation: LifecycleOperation;
}

/** @returns what the caller is told. */
async function failed(begun: CapsuleRow, error: unknown, parts: FailureParts): Promise<unknown> {
  const { store, hosts, host, before, log, operation } = parts;
  if (!(error instanceof WrennError)) return error;
  log.warn({ code: error.code, reason: error.message }, "capsule command failed");
  // The host goes on, and the next control plane finds out how it ended.
  if (error.code === "shutting_down") return error;
  if (error.code === "host_unavailable") {
    hosts.doubt(host);
    return error;
  }
  const answer = await askHost(host).catch(() => undefined);
  if (answer) await settleAnswered(begun, answer(begun.id), { store, logger: log });
  else if (before && error.code !== "agent_error") await goBack(begun, before, store);
  const [now] = await store.findMany([begun.id]);
  const gone = error.code === "not_found" || now?.state === "stopping" || now?.state === "stopped";
  return gone ? overtaken(begun.id, operation, now) : error;
}

/** The host has said no, so nothing has changed. */
async function goBack(begun: CapsuleRow, before: CapsuleRow, store: CapsuleStore): Promise<void> {
  await store.move(begun, before.state, {
    ...(before.reason !== null && { reason: before.reason }),
    ...(before.detail !== null && { detail: before.detail }),
  });
}
