import { newId, WrennError } from "@wrenn/contracts";
import type { Capsule, ForkCapsuleResponse } from "@wrenn/contracts/host";
import type { ForkCapsuleBody } from "@wrenn/contracts/rest";
import type { CapsuleRow } from "../database/schema.ts";
import type { OwnedKey } from "../idempotency/owned-key.ts";
import type { Log } from "../log.ts";
import { fromAnswer } from "../reports/observed.ts";
import { beginWith, type Command, type CommandParts, finishCommand } from "./command.ts";
import type { LifecycleParts } from "./lifecycle.ts";
import { foundCopies } from "./made-again.ts";
import type { NewCapsule } from "./store.ts";
import { timeRulesOf } from "./time-rules.ts";

/** One snapshot, and then each copy is restored from it. */
const forkTimeoutMs = 10 * 60_000;

/**
 * Makes copies of a running or paused capsule, on its host, from one snapshot of it: all of them or none. It goes on
 * even if the caller has gone.
 *
 * @param key of the request: made again, it finds its copies.
 * @returns the copies, in the order of their ids.
 * @throws {WrennError} `invalid_state` or `conflict` before anything is done, or what the host said.
 */
export async function forkCapsule(
  row: CapsuleRow,
  { count, metadata }: ForkCapsuleBody,
  parts: LifecycleParts,
  logger: Log,
  key?: OwnedKey | undefined,
): Promise<CapsuleRow[]> {
  let ids = (await key?.ids("capsule", count)) ?? Array.from({ length: count }, () => newId("capsule"));
  const found = await foundCopies(ids, key, parts.store);
  if (found === "failed") ids = (await key?.ids("capsule", count, true)) ?? ids;
  else if (found) return found;
  const copies = ids.map((id) => copyOf(row, id, metadata ?? row.metadata));
  return parts.metrics.operation("fork", () =>
    parts.operations.run([row.id, ...ids], async () => {
      const begun = await beginWith(row, "fork", parts.store, () => parts.store.fork(row, copies));
      return finishFork(begun, parts, logger, row);
    }),
  );
}

/** The row of a capsule that is being forked, and those of its copies. */
export interface BegunFork {
  capsule: CapsuleRow;
  copies: CapsuleRow[];
}

/** Has the host make the copies that the rows say are being made. Repeating it is fine. */
export async function finishFork(
  { capsule, copies }: BegunFork,
  parts: CommandParts,
  logger: Log,
  before?: CapsuleRow,
): Promise<CapsuleRow[]> {
  try {
    const { answer } = await finishCommand(capsule, forkCommand(copies), parts, logger, before);
    return await landCopies(copies, answer.children, parts);
  } catch (error) {
    await giveUp({ capsule, copies }, error, parts);
    throw error;
  }
}

function forkCommand(copies: readonly CapsuleRow[]): Command<ForkCapsuleResponse> {
  const children = copies.map((copy) => ({
    capsuleId: copy.id,
    generation: copy.generation,
    timeRules: timeRulesOf(copy),
  }));
  return {
    operation: "fork",
    goals: ["running", "paused"],
    timeoutMs: forkTimeoutMs,
    send: (client, request, options) => client.forkCapsule({ ...request, children }, options),
  };
}

/** A report may have been faster with some of them, and a destroy with others. */
async function landCopies(
  copies: readonly CapsuleRow[],
  made: readonly Capsule[],
  { store, hosts }: CommandParts,
): Promise<CapsuleRow[]> {
  const byId = new Map(made.map((capsule) => [capsule.id, capsule]));
  const host = await hosts.get(copies[0]?.host_id ?? null);
  const description = await host.describe().catch(() => undefined); // a version is not worth a capsule
  for (const copy of copies) {
    const capsule = byId.get(copy.id);
    const observed = capsule && fromAnswer(capsule, description?.agentVersion);
    if (!observed)
      throw new WrennError("agent_error", `host ${host.id} did not say what became of ${copy.id}`);
    await store.observe(copy, observed);
  }
  const rows = await store.findMany(copies.map(({ id }) => id));
  const landed = new Map(rows.map((row) => [row.id, row]));
  return copies.map((copy) => landed.get(copy.id) ?? copy);
}

/**
 * Ends the rows of copies that are not made. While the host may be at it, they stay, as the capsule's own row does.
 * What the host has of them all the same, its next full report says.
 */
async function giveUp(
  { capsule, copies }: BegunFork,
  error: unknown,
  { store, hosts }: CommandParts,
): Promise<void> {
  if (!(error instanceof WrennError)) return;
  const [now] = await store.findMany([capsule.id]);
  if (now?.state === "snapshotting" && now.generation === capsule.generation) return;
  for (const copy of copies) await store.noteStopped(copy, error.code);
  if (capsule.host_id !== null) hosts.doubt(await hosts.get(capsule.host_id));
}

function copyOf(row: CapsuleRow, id: string, metadata: Record<string, string>): NewCapsule {
  return {
    id,
    teamId: row.team_id,
    template: row.template,
    vcpus: row.vcpus,
    memoryMib: row.memory_mib,
    timeoutSec: row.timeout_sec,
    maxRunSec: row.max_run_sec,
    onTimeout: row.on_timeout,
    autoResume: row.auto_resume,
    metadata,
    diskMib: row.disk_mib ?? undefined,
    snapshotId: row.snapshot_id ?? undefined,
    forkedFrom: row.id,
  };
}
