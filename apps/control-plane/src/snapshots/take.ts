import { WrennError } from "@wrenn/contracts";
import type { SnapshotCapsuleResponse } from "@wrenn/contracts/host";
import { beginCommand, type Command, type CommandParts, finishCommand } from "../capsules/command.ts";
import type { PlacedCapsule } from "../capsules/store.ts";
import type { SnapshotRow } from "../database/schema.ts";
import type { Log } from "../log.ts";
import { factsOf } from "./facts.ts";
import type { ReadySnapshot, SnapshotStore } from "./store.ts";

/** What the guest has changed is written to the host's disk while it goes on. */
const snapshotTimeoutMs = 10 * 60_000;

export interface TakeParts {
  snapshots: SnapshotStore;
  commands: CommandParts;
}

/**
 * Takes a snapshot of a capsule, which goes on as it was.
 *
 * When the host has refused, the name is free again. When it is not known what the host has done, the row stays
 * `creating` until somebody has asked it.
 *
 * @throws {WrennError} what the host said; `invalid_state` or `conflict` when somebody else works on the capsule.
 */
export async function takeSnapshot(
  creating: SnapshotRow,
  capsule: PlacedCapsule,
  { snapshots, commands }: TakeParts,
  logger: Log,
): Promise<ReadySnapshot> {
  const begun = await beginCommand(capsule, "snapshot", commands.store).catch(async (error: unknown) => {
    await snapshots.forget(creating); // the host has not been asked
    throw error;
  });
  try {
    const command = snapshotCommand(creating.id);
    const { answer } = await finishCommand(begun, command, commands, logger, capsule);
    if (!answer.snapshot) throw new WrennError("agent_error", "the host did not say what it has taken");
    const ready = await snapshots.markReady(creating, factsOf(answer.snapshot));
    if (ready) return ready;
    throw new WrennError("conflict", `the snapshot "${creating.name}" was given up meanwhile; try again`);
  } catch (error) {
    if (isRefusal(error)) await snapshots.giveUp(creating);
    throw error;
  }
}

function snapshotCommand(snapshotId: string): Command<SnapshotCapsuleResponse> {
  return {
    operation: "snapshot",
    goals: ["running", "paused"],
    timeoutMs: snapshotTimeoutMs,
    send: (client, request, options) => client.snapshotCapsule({ ...request, snapshotId }, options),
  };
}

/** Whether it is known that there is no snapshot, or that nobody wants it. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof WrennError)) return false;
  const unknown = ["host_unavailable", "shutting_down", "database_unavailable"];
  return !unknown.includes(error.code);
}
