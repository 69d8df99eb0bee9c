import { newId } from "@wrenn/contracts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";
import { noteCommand, requireState } from "./commands.ts";
import { capsuleHolder } from "./held.ts";
import { hostError, reasonOf } from "./host-error.ts";
import type { HostParts } from "./host-parts.ts";
import { takeLive } from "./snapshot.ts";
import { startMachine } from "./start-machine.ts";
import { watchMachine } from "./watch-machine.ts";

/** A capsule that is to be a copy, and what its start is given. Its signal ends the whole fork. */
export interface Child {
  readonly capsule: Capsule;
  readonly parts: HostParts;
}

/** Makes copies of a running or paused capsule: one snapshot, and every one of the copies, or none. */
export async function forkCapsule(
  capsule: Capsule,
  command: CapsuleCommand,
  makeChildren: () => Child[],
  parts: HostParts,
): Promise<void> {
  requireState(capsule, command, ["running", "paused"]);
  await using held = new AsyncDisposableStack();
  const snapshot = await snapshotOf(capsule, command, held, parts);
  const source = await parts.snapshots.source(snapshot, parts.signal);
  await startAll(makeChildren(), source, parts);
}

/** @param held lets go of what was taken, once the copies hold it. */
async function snapshotOf(
  capsule: Capsule,
  command: CapsuleCommand,
  held: AsyncDisposableStack,
  parts: HostParts,
): Promise<string> {
  const paused = capsule.record.snapshot;
  if (capsule.state === "paused" && paused !== undefined) {
    noteCommand(capsule, command);
    return paused;
  }
  const snapshot = newId("snapshot");
  held.defer(() => parts.snapshots.release(snapshot, capsuleHolder(capsule.id)));
  await takeLive(capsule, { ...command, snapshot }, "fork", parts);
  return snapshot;
}

async function startAll(children: readonly Child[], source: RestoreSource, parts: HostParts): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const outcomes = await Promise.allSettled(
    children.map(async (child) => {
      const aborted = AbortSignal.any([parts.signal, child.parts.signal]);
      undo.use(await startMachine(child.capsule, source, "clone", { ...child.parts, signal: aborted }));
    }),
  );
  try {
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    for (const {
      parts: { signal },
    } of children)
      signal.throwIfAborted();
    const startedAt = new Date().toISOString();
    for (const { capsule } of children) {
      capsule.move({ step: "running", startedAt, versions: source.versions });
    }
    undo.move();
  } catch (error) {
    await undo.disposeAsync();
    for (const { capsule } of children) await capsule.forget(reasonOf(error));
    throw hostError(error);
  }
  for (const child of children) watchMachine(child.capsule, child.parts);
}
