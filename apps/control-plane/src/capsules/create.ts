import { isTransitional, newId, WrennError } from "@wrenn/contracts";
import { refersToNothing } from "../database/availability.ts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Host } from "../hosts/host.ts";
import type { Hosts } from "../hosts/hosts.ts";
import type { Log } from "../log.ts";
import { fromAnswer, type Observed } from "../reports/observed.ts";
import type { CapsuleStore } from "./store.ts";
import { timeRulesOf } from "./time-rules.ts";

/** The first capsule of a size may have to boot a kernel in software emulation. */
const createTimeoutMs = 10 * 60_000;

/** Hosts in the order in which they are tried; the next one is looked for when it is needed. */
export type Candidates = AsyncIterator<Host> | Iterator<Host>;

interface CreateParts {
  store: CapsuleStore;
  hosts: Hosts;
}

/**
 * Brings a pending capsule up on a host, or goes on with one that is starting there. A host that is full is followed by
 * the next. However it ends, the row says so: `running`, or `error` with the reason.
 *
 * @throws {WrennError} what the last host said, or `invalid_state` when the capsule was destroyed meanwhile.
 */
export async function createOnHost(
  pending: CapsuleRow,
  host: Host,
  parts: CreateParts,
  logger: Log,
  others?: Candidates,
): Promise<CapsuleRow> {
  const operationId = newId("operation");
  const log = logger.child({ capsule: pending.id, operation: operationId, host: host.id });
  const isThere = pending.state === "starting" && pending.host_id === host.id;
  const starting = isThere ? pending : await place(pending, host, parts.store);
  if (!starting) throw destroyedMeanwhile(pending.id);
  const startedAt = performance.now();
  try {
    const observed = await askHost(starting, host, operationId);
    const running = await land(starting, observed, parts.store);
    log.info({ durationMs: Math.round(performance.now() - startedAt) }, "capsule created");
    return running;
  } catch (err) {
    const next = isFull(err) ? await others?.next() : undefined;
    if (!next || next.done) return await failed(starting, host, err, parts, log);
    log.info({ next: next.value.id }, "the host is full; trying another");
    return await createOnHost(starting, next.value, parts, logger, others);
  }
}

function isFull(error: unknown): boolean {
  return error instanceof WrennError && error.code === "host_full";
}

async function failed(
  starting: CapsuleRow,
  host: Host,
  err: unknown,
  { store, hosts }: CreateParts,
  log: Log,
): Promise<never> {
  const reason = err instanceof WrennError ? err.code : "internal_error";
  // The host goes on. The next control plane will find out how it ended.
  if (reason === "shutting_down") throw err;
  // Not when somebody has commanded something else meanwhile: then that is what the row says.
  await store.noteFailedCreate(starting, reason);
  log.warn({ reason }, "capsule could not be created");
  // It may have been made all the same: what the host says next tells, and then it is an orphan.
  if (reason === "host_unavailable") hosts.doubt(host);
  throw err;
}

async function place(pending: CapsuleRow, host: Host, store: CapsuleStore): Promise<CapsuleRow | undefined> {
  try {
    return await store.place(pending, host.id);
  } catch (error) {
    if (!refersToNothing(error)) throw error;
    await store.noteFailedCreate(pending, "host_unavailable");
    throw new WrennError("host_unavailable", `host ${host.id} was removed; try again`, { cause: error });
  }
}

/** A report of the host may have been faster than its answer, and say where the capsule has come since. */
async function land(starting: CapsuleRow, observed: Observed, store: CapsuleStore): Promise<CapsuleRow> {
  const landed = await store.observe(starting, observed);
  if (landed) return landed;
  const [now] = await store.findMany([starting.id]);
  if (now?.generation === starting.generation && now.started_at !== null) return now;
  throw destroyedMeanwhile(starting.id);
}

async function askHost(row: CapsuleRow, host: Host, operationId: string): Promise<Observed> {
  const request = {
    capsuleId: row.id,
    generation: row.generation,
    operationId,
    template: row.template,
    // A snapshot has the size that it was taken with.
    vcpus: row.snapshot_id === null ? row.vcpus : 0,
    memoryMib: row.snapshot_id === null ? row.memory_mib : 0,
    diskMib: row.disk_mib ?? 0,
    timeRules: timeRulesOf(row),
    ...(row.snapshot_id !== null && { snapshotId: row.snapshot_id }),
  };
  const { capsule } = await host.agent.call((client) =>
    client.createCapsule(request, { timeoutMs: createTimeoutMs }),
  );
  const description = await host.describe().catch(() => undefined); // a version is not worth a capsule
  const observed = capsule && fromAnswer(capsule, description?.agentVersion);
  if (!observed || isTransitional(observed.state))
    throw new WrennError("agent_error", `host ${host.id} made no capsule that we know what to do with`);
  return observed;
}

function destroyedMeanwhile(id: string): WrennError {
  return new WrennError("invalid_state", `capsule ${id} was destroyed while it was being created`);
}
