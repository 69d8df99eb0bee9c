import { timestampDate } from "@bufbuild/protobuf/wkt";
import { newId, WrennError } from "@wrenn/contracts";
import type { Capsule as HostCapsule } from "@wrenn/contracts/host";
import type { CapsuleRow } from "../database/schema.ts";
import type { Host } from "../hosts/service.ts";
import type { Log } from "../log.ts";
import type { CapsuleStore } from "./store.ts";
import { versionsOf } from "./versions.ts";

/** The first capsule of a size may have to boot a kernel in software emulation. */
const createTimeoutMs = 10 * 60_000;

/**
 * Brings a pending capsule up on a host. However it ends, the row says so: `running`, or `error` with the reason.
 *
 * @throws {WrennError} what the host said, or `invalid_state` when the capsule was destroyed meanwhile.
 */
export async function createOnHost(
  pending: CapsuleRow,
  host: Host,
  store: CapsuleStore,
  logger: Log,
): Promise<CapsuleRow> {
  const operationId = newId("operation");
  const log = logger.child({ capsule: pending.id, operation: operationId, host: host.id });
  const starting = await store.move(pending, "starting", { hostId: host.id });
  if (!starting) throw destroyedMeanwhile(pending.id);
  const startedAt = performance.now();
  try {
    const capsule = await askHost(starting, host, operationId);
    const running = await noteRunning(starting, capsule, host, store);
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
    throw err;
  }
}

/** Moves a starting capsule that its host runs to `running`. */
export async function noteRunning(
  starting: CapsuleRow,
  capsule: HostCapsule,
  host: Host,
  store: CapsuleStore,
): Promise<CapsuleRow | undefined> {
  const description = await host.describe().catch(() => undefined); // a version is not worth a capsule
  return store.move(starting, "running", {
    revision: capsule.revision,
    versions: versionsOf(capsule, description),
    startedAt: capsule.startedAt ? timestampDate(capsule.startedAt) : new Date(),
  });
}

async function askHost(row: CapsuleRow, host: Host, operationId: string): Promise<HostCapsule> {
  const request = {
    capsuleId: row.id,
    generation: row.generation,
    operationId,
    template: row.template,
    vcpus: row.vcpus,
    memoryMib: row.memory_mib,
  };
  const { capsule } = await host.agent.call((client) =>
    client.createCapsule(request, { timeoutMs: createTimeoutMs }),
  );
  if (!capsule) throw new WrennError("agent_error", `host ${host.agent.address} made no capsule`);
  return capsule;
}

function destroyedMeanwhile(id: string): WrennError {
  return new WrennError("invalid_state", `capsule ${id} was destroyed while it was being created`);
}
