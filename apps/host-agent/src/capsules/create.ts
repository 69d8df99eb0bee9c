import { type CapsuleSize, isId, sizeProblem, WrennError } from "@wrenn/contracts";
import { abortable } from "../abortable.ts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { Capsule, CapsuleRequest } from "./capsule.ts";
import { grownDiskBytes } from "./disk-size.ts";
import { machineHolder } from "./held.ts";
import { hostError, reasonOf } from "./host-error.ts";
import type { HostParts } from "./host-parts.ts";
import { startMachine } from "./start-machine.ts";
import { watchMachine } from "./watch-machine.ts";

export interface CreateOptions {
  /** What it is a clone of; its template when absent. */
  readonly snapshotId?: string | undefined;
  /** Size of its disk in MiB; 0 for that of what it is made from. */
  readonly diskMib?: number | undefined;
}

/** Makes a capsule run for the first time. What fails leaves nothing of it. */
export async function createCapsule(
  capsule: Capsule,
  { snapshotId, diskMib = 0 }: CreateOptions,
  parts: HostParts,
): Promise<void> {
  const { logger, signal } = parts;
  const began = performance.now();
  try {
    await using held = new AsyncDisposableStack();
    if (snapshotId !== undefined) {
      parts.snapshots.hold(snapshotId, machineHolder(capsule.id));
      held.defer(() => parts.snapshots.release(snapshotId, machineHolder(capsule.id)));
    }
    const source = await abortable(sourceOf(capsule, snapshotId, parts), signal);
    const diskBytes = grownDiskBytes(diskMib, source.diskBytes);
    await using started = await startMachine(capsule, source, "clone", parts, diskBytes);
    signal.throwIfAborted();
    const startedAt = new Date().toISOString();
    capsule.move({ step: "running", startedAt, versions: source.versions });
    started.move();
    held.move();
    parts.pool.used(source);
  } catch (error) {
    logger.error({ err: error }, "capsule did not start");
    await capsule.forget(reasonOf(error));
    throw signal.aborted ? signal.reason : hostError(error);
  }
  const createMs = Math.round(performance.now() - began);
  logger.info({ createMs, pid: capsule.machine?.process.pid }, "capsule runs");
  watchMachine(capsule, parts);
}

async function sourceOf(
  { template, size }: Capsule,
  snapshotId: string | undefined,
  { snapshots, boots, signal }: HostParts,
): Promise<RestoreSource> {
  return snapshotId === undefined
    ? await boots.get(template, size)
    : await snapshots.source(snapshotId, signal);
}

/** What a capsule is asked to be made of. */
export interface CreateRequest extends CapsuleRequest {
  /** Given, it is a clone of this snapshot, whose size it has. */
  readonly snapshot?: string | undefined;
}

/** @throws {WrennError} `invalid_request`. */
export function checkId(id: string): void {
  if (isId("capsule", id)) return;
  throw new WrennError("invalid_request", `${JSON.stringify(id)} is not a capsule id`, {
    field: "capsule_id",
  });
}

/** @throws {WrennError} `invalid_request` for a size that cannot be had, `not_found` for a snapshot that is not offered. */
export function checkedSize({ snapshot, size }: CreateRequest, { snapshots }: HostParts): CapsuleSize {
  if (snapshot !== undefined) {
    const { vcpus, memoryMib } = snapshots.offered(snapshot);
    return { vcpus, memoryMib };
  }
  const problem = sizeProblem(size);
  if (!problem) return size;
  const field = problem.part === "vcpus" ? "vcpus" : "memory_mb";
  const message = `${field} must be one of ${problem.choices.join(", ")}, not ${size[problem.part]}`;
  throw new WrennError("invalid_request", message, { field });
}
