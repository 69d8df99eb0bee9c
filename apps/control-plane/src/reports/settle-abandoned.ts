import { isTransitional, WrennError } from "@wrenn/contracts";
import type { CapsuleAnswer } from "@wrenn/contracts/host";
import { type Command, finishCommand } from "../capsules/command.ts";
import { hibernateCommand, pauseCommand, resumeCommand } from "../capsules/commands.ts";
import { finishStop } from "../capsules/destroy.ts";
import { finishFork } from "../capsules/fork.ts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Answered } from "./ask.ts";
import type { Observed } from "./observed.ts";
import { settleAnswered } from "./settle.ts";
import type { SettlerParts } from "./settler.ts";

/**
 * Settles a capsule on which nobody works although something is being done to it. It is where its host says. Where the
 * host is still at it, it waits; a command that the host has never heard is given again, as the same.
 */
export async function settleAbandonedRow(
  row: CapsuleRow,
  answered: Answered,
  parts: SettlerParts,
): Promise<void> {
  const { store, hosts, operations } = parts;
  if (operations.has(row.id)) return;
  const logger = parts.logger.child({ capsule: row.id });
  if (row.state === "stopping") {
    await operations.run(row.id, () => finishStop(row, hosts, store, logger));
  } else if (answered === "unclear") {
    return;
  } else if (row.state === "pending" || row.state === "starting") {
    await settleCreate(row, answered, { ...parts, logger });
  } else {
    await settleCommand(row, answered, { ...parts, logger });
  }
}

async function settleCreate(
  row: CapsuleRow,
  observed: Observed | undefined,
  parts: SettlerParts,
): Promise<void> {
  if (observed && isTransitional(observed.state)) return;
  const failed = observed === undefined || observed.state === "error" || observed.state === "stopped";
  if (!failed) return settleAnswered(row, observed, parts);
  const moved = await parts.store.noteFailedCreate(row, observed?.reason ?? "interrupted");
  if (moved) parts.logger.warn({ state: moved.state, reason: moved.reason }, "settled an interrupted create");
}

async function settleCommand(
  row: CapsuleRow,
  observed: Observed | undefined,
  parts: SettlerParts,
): Promise<void> {
  if (observed && isTransitional(observed.state)) return;
  const finish = observed && (await finishOf(row, observed, parts));
  if (!finish) return settleAnswered(row, observed, parts);
  parts.logger.warn({ state: row.state }, "giving an interrupted command again");
  try {
    await finish();
  } catch (error) {
    // Its row says how it ended, and the log has why. Nobody waits for an answer.
    if (!(error instanceof WrennError)) throw error;
  }
}

/** How to give the command of a row again; undefined when the host has said already what became of it. */
async function finishOf(
  row: CapsuleRow,
  observed: Observed,
  parts: SettlerParts,
): Promise<(() => Promise<unknown>) | undefined> {
  const { store, operations, logger } = parts;
  if (row.state === "snapshotting") {
    const copies = await store.startingCopiesOf(row.id);
    if (copies.length === 0) return undefined;
    const ids = [row.id, ...copies.map(({ id }) => id)];
    return () => operations.run(ids, () => finishFork({ capsule: row, copies }, parts, logger));
  }
  const command = observed.generation < row.generation ? commandOf(row, observed) : undefined;
  return command && (() => operations.run(row.id, () => finishCommand(row, command, parts, logger)));
}

function commandOf(row: CapsuleRow, observed: Observed): Command<CapsuleAnswer> | undefined {
  if (row.state === "pausing") return pauseCommand;
  if (row.state === "hibernating") return hibernateCommand;
  if (row.state === "resuming") return resumeCommand(observed.state === "error");
  return undefined;
}
