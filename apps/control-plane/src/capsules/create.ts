import { newId, WrennError } from "@wrenn/contracts";
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

/**
 * Brings a pending capsule up on a host, or goes on with one that is starting there. However it ends, the row says so: `running`, or `error` with the reason.
 *
 * @throws {WrennError} what the host said, or `invalid_state` when the capsule was destroyed meanwhile.
 */
export async function createOnHost(
  pending: CapsuleRow,
  host: Host,
  { store, hosts }: { store: CapsuleStore; hosts: Hosts },
  logger: Log,
): Promise<CapsuleRow> {
  const operationId = newId("operation");
  const log = logger.child({ capsule: pending.id, operation: operationId, host: host.id });
  const starting = pending.state === "starting" ? pending : await place(pending, host, store);
  if (!starting) throw destroyedMeanwhile(pending.id);
  const startedAt = performance.now();
  try {
    const observed = await askHost(starting, host, operationId);
    const running = (await noteRunning(starting, observed, store)) ?? (await notedRunning(starting, store));
    if (!running) throw destroyedMeanwhile(pending.id);
    log.info({ durationMs: Math.round(performance.now() - startedAt) }, "capsule created");
    return running;
  } catch (err) {
    const reason = err instanceof WrennError ? err.code : "internal_error";
    // The host goes on. The next control plane will find out how it ended.
    if (reason === "shutting_down") throw err;
    // Refused when somebody has commanded something else meanwhile: then that is what the row says.
    await store.move(starting, "error", { reason });
    log.warn({ reason }, "capsule could not be created");
    // It may have been made all the same: what the host says next tells, and then it is an orphan.
    if (reason === "host_unavailable") hosts.doubt(host);
    throw err;
  }
}

/** Moves a starting capsule that its host runs to `running`. */
export async function noteRunning(
  starting: CapsuleRow,
  observed: Observed,
  store: CapsuleStore,
): Promise<CapsuleRow | undefined> {
  return store.move(starting, "running", {
    revision: observed.revision,
    versions: observed.versions,
    startedAt: observed.startedAt ?? new Date(),
  });
}

async function place(pending: CapsuleRow, host: Host, store: CapsuleStore): Promise<CapsuleRow | undefined> {
  try {
    return await store.move(pending, "starting", { hostId: host.id });
  } catch (error) {
    if (!refersToNothing(error)) throw error;
    await store.move(pending, "error", { reason: "host_unavailable" });
    throw new WrennError("host_unavailable", `host ${host.id} was removed; try again`, { cause: error });
  }
}

/** A report of the host may have been faster than its answer. */
async function notedRunning(starting: CapsuleRow, store: CapsuleStore): Promise<CapsuleRow | undefined> {
  const [now] = await store.findMany([starting.id]);
  return now?.state === "running" && now.generation === starting.generation ? now : undefined;
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
  if (!observed)
    throw new WrennError("agent_error", `host ${host.id} made no capsule that we know what to do with`);
  return observed;
}

function destroyedMeanwhile(id: string): WrennError {
  return new WrennError("invalid_state", `capsule ${id} was destroyed while it was being created`);
}
