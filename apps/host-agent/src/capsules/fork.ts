import { newId, WrennError } from "@wrenn/contracts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { TimeRules } from "../time-rules/time-rules.ts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";
import { noteCommand, requireState } from "./commands.ts";
import { capsuleHolder } from "./held.ts";
import { hostError, reasonOf } from "./host-error.ts";
import type { HostParts } from "./host-parts.ts";
import { takeLive } from "./snapshot.ts";
import { startMachine } from "./start-machine.ts";
import { watchMachine } from "./watch-machine.ts";

export interface ForkRequest extends CapsuleCommand {
  readonly children: readonly ChildRequest[];
}

export interface ChildRequest extends CapsuleCommand {
  readonly timeRules?: TimeRules | undefined;
}

/** A capsule that is to be a copy. */
export interface Child {
  readonly capsule: Capsule;
  /** Its signal is aborted when it is destroyed meanwhile. */
  readonly parts: HostParts;
  /** Called once, when it runs or is forgotten: what else was asked of it is done then. */
  readonly decide: (error?: unknown) => void;
}

/** Capsules by their ids. */
interface Known {
  list(): readonly Capsule[];
}

/** Makes copies of a running or paused capsule: one snapshot, and every one of the copies, or none. */
export async function forkCapsule(
  capsule: Capsule,
  request: ForkRequest,
  known: Known,
  makeChild: (child: ChildRequest) => Child,
  parts: HostParts,
): Promise<void> {
  if (isDone(request, known)) return noteCommand(capsule, request);
  requireState(capsule, request, ["running", "paused"]);
  // Before the source is stopped for nothing.
  using rooms = await takeRooms(capsule, request, parts);
  await using held = new AsyncDisposableStack();
  const snapshot = await snapshotOf(capsule, request, held, parts);
  const source = await parts.snapshots.source(snapshot, parts.signal);
  const children: Child[] = [];
  try {
    for (const child of request.children) children.push(makeChild(child));
    for (const { capsule } of children) capsule.takeRoom(rooms.give());
    await startAll(capsule, request, children, source, parts);
  } catch (error) {
    for (const child of children) {
      await child.capsule.forget(reasonOf(error));
      child.decide(error);
    }
    throw hostError(error);
  }
  for (const child of children) {
    child.decide();
    watchMachine(child.capsule, child.parts);
  }
  parts.logger.info({ snapshot, copies: children.length }, "capsule forked");
}

/**
 * Room for all of the copies. Disposing of it gives back what was not given away.
 *
 * @throws {WrennError} `host_full`; the command is noted all the same.
 */
async function takeRooms(
  capsule: Capsule,
  request: ForkRequest,
  { admission }: HostParts,
): Promise<Disposable & { give(): Disposable }> {
  const sizes = request.children.map(() => capsule.size);
  const rooms = await admission.admit(sizes).catch((error: unknown) => {
    noteCommand(capsule, request);
    throw error;
  });
  const give = () => {
    const room = rooms.pop();
    if (!room) throw new RangeError("there is room for each copy once");
    return room;
  };
  const giveBack = () => {
    for (const room of rooms) room[Symbol.dispose]();
  };
  return { give, [Symbol.dispose]: giveBack };
}

/** Whether an earlier call, perhaps in an earlier life of the agent, has made all of the copies. */
function isDone({ children }: ForkRequest, known: Known): boolean {
  const generations = new Map(known.list().map(({ id, generation }) => [id, generation]));
  return children.every(({ id, generation }) => (generations.get(id) ?? -1) >= generation);
}

/** @param held lets go of what was taken, once the copies hold it. */
async function snapshotOf(
  capsule: Capsule,
  command: CapsuleCommand,
  held: AsyncDisposableStack,
  parts: HostParts,
): Promise<string> {
  if (capsule.state === "paused") {
    noteCommand(capsule, command);
    const paused = capsule.record.snapshot;
    if (paused !== undefined) return paused;
    throw new WrennError("snapshot_corrupt", `capsule ${capsule.id} is paused and names no snapshot`);
  }
  const snapshot = newId("snapshot");
  held.defer(async () => parts.snapshots.release(snapshot, capsuleHolder(capsule.id)));
  await takeLive(capsule, { ...command, snapshot }, "fork", parts);
  return snapshot;
}

/** Until all of them are ready none runs: what an agent that is killed finds of them is undone. */
async function startAll(
  capsule: Capsule,
  { operation }: ForkRequest,
  children: readonly Child[],
  source: RestoreSource,
  parts: HostParts,
): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const starts = await Promise.allSettled(
    children.map(async (child) => {
      const signal = AbortSignal.any([parts.signal, child.parts.signal]);
      undo.use(await startMachine(child.capsule, source, "clone", { ...child.parts, signal }));
      signal.throwIfAborted();
    }),
  );
  for (const start of starts) if (start.status === "rejected") throw start.reason;
  capsule.note({ step: "forked", operation });
  const startedAt = new Date().toISOString();
  for (const child of children) {
    child.capsule.move({ step: "running", startedAt, versions: source.versions });
  }
  undo.move();
}
