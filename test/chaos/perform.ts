import type { CapsuleState } from "@wrenn/contracts";
import type { CapsuleModel } from "./capsule-model.ts";
import type { Client } from "./client.ts";
import { command, commands, destroy, get, patch, ping } from "./operations/command.ts";
import { create, createFrom, fork } from "./operations/make.ts";
import { deleteSnapshot, snapshot } from "./operations/snapshots.ts";
import { upload, write } from "./operations/use.ts";
import type { OperationKind, PlannedOperation } from "./schedule.ts";

/** Most capsules at once, those that are being made included. */
export const mostCapsules = 8;
const mostSnapshots = 3;
/** Some commands are given where they are not legal, to be refused. */
const wrongly = 0.1;
/** Clients share all capsules, but mostly work on their own. */
const own = 0.8;

/** Does what was planned, to one of the capsules that it can be done to; creates one where there is none. */
export async function perform(client: Client, planned: PlannedOperation): Promise<void> {
  const { model } = client;
  const room = mostCapsules - model.live().length - model.coming;
  const operation = operationFor(client, planned, room);
  if (operation) return await operation();
  if (room > 0) return await create(client, planned);
  const capsule = choose(client, planned, () => true);
  if (capsule) await destroy(client, planned, capsule);
}

/** An operation on something that is chosen already; nothing when there is nothing that it can be done to. */
type Operation = (() => Promise<void>) | undefined;

function operationFor(client: Client, planned: PlannedOperation, room: number): Operation {
  const { kind } = planned;
  if (kind in capsuleOperations) {
    const { from, perform } = capsuleOperations[kind as keyof typeof capsuleOperations];
    const wrong = planned.variant < wrongly;
    const capsule = choose(client, planned, (one) => wrong || one.may(...from(one)));
    return capsule && (() => perform(client, planned, capsule));
  }
  if (kind === "fork") {
    const source = choose(client, planned, (one) => one.may("running", "paused"));
    return source && room > 0 ? () => fork(client, planned, source, room) : undefined;
  }
  return snapshotOperationFor(client, planned, room);
}

function snapshotOperationFor(client: Client, planned: PlannedOperation, room: number): Operation {
  const known = [...client.model.snapshots.values()].filter(({ presence }) => presence !== "gone");
  if (planned.kind === "snapshot") {
    const source = choose(client, planned, (one) => one.may("running", "paused"));
    return source && known.length < mostSnapshots ? () => snapshot(client, planned, source) : undefined;
  }
  const there = known.filter(({ presence }) => presence === "there");
  const chosen = there[Math.floor(planned.target * there.length)];
  if (!chosen) return undefined;
  if (planned.kind === "deleteSnapshot") return () => deleteSnapshot(client, planned, chosen);
  return room > 0 ? () => createFrom(client, planned, chosen) : undefined;
}

interface CapsuleOperation {
  /** States in which it is legal. */
  from(capsule: CapsuleModel): readonly CapsuleState[];
  perform(client: Client, planned: PlannedOperation, capsule: CapsuleModel): Promise<void>;
}

const anywhere: readonly CapsuleState[] = ["running", "paused", "hibernated", "error"];

/** Where commands that need the guest are legal. */
function usable({ resumesItself }: CapsuleModel): readonly CapsuleState[] {
  return resumesItself ? ["running", "paused", "hibernated"] : ["running"];
}

function commanding(kind: keyof typeof commands): CapsuleOperation {
  return {
    from: () => commands[kind].from,
    perform: (client, planned, capsule) => command(client, planned, kind, capsule),
  };
}

const capsuleOperations = {
  write: { from: usable, perform: write },
  upload: { from: usable, perform: upload },
  pause: commanding("pause"),
  resume: commanding("resume"),
  hibernate: commanding("hibernate"),
  destroy: { from: () => anywhere, perform: destroy },
  patch: { from: () => anywhere, perform: patch },
  ping: { from: () => ["running"], perform: ping },
  get: { from: () => anywhere, perform: get },
} satisfies Partial<Record<OperationKind, CapsuleOperation>>;

function choose(
  client: Client,
  { name, target }: PlannedOperation,
  fits: (capsule: CapsuleModel) => boolean,
): CapsuleModel | undefined {
  const all = client.model.live().filter((capsule) => capsule.presence === "there" && fits(capsule));
  const mine = all.filter(({ origin }) => clientOf(origin) === clientOf(name));
  if (mine.length > 0 && target < own) return mine[Math.floor((target / own) * mine.length)];
  return all[Math.floor(target * all.length)];
}

/** `r3c2o7` is the seventh operation of the second client in the third round. */
function clientOf(name: string): string | undefined {
  return /c\d+/.exec(name)?.[0];
}
