import { isTransitional, WrennError } from "@wrenn/contracts";
import type { CapsuleAnswer } from "@wrenn/contracts/host";
import { type Command, finishCommand } from "../capsules/command.ts";
import { hibernateCommand, pauseCommand, resumeCommand } from "../capsules/commands.ts";
import { finishStop } from "../capsules/destroy.ts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Answered } from "./ask.ts";
import type { Observed } from "./observed.ts";
import { failCreate, settleAnswered } from "./settle.ts";
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
  const moved = await failCreate(row, observed?.reason ?? "interrupted", parts.store);
  if (moved) parts.logger.warn({ state: moved.state, reason: moved.reason }, "settled an interrupted create");
}

async function settleCommand(
  row: CapsuleRow,
  observed: Observed | undefined,
  parts: SettlerParts,
): Promise<void> {
  if (observed && isTransitional(observed.state)) return;
  const command = observed && observed.generation < row.generation ? commandOf(row, observed) : undefined;
  if (!command) return settleAnswered(row, observed, parts);
  parts.logger.warn({ kind: command.operation }, "giving an interrupted command again");
  try {
    await parts.operations.run(row.id, () => finishCommand(row, command, parts, parts.logger));
  } catch (error) {
    // Its row says how it ended, and the log has why. Nobody waits for an answer.
    if (!(error instanceof WrennError)) throw error;
  }
}

/** The command that a row says is under way; undefined for one that left nothing that could be given again. */
function commandOf(row: CapsuleRow, observed: Observed): Command<CapsuleAnswer> | undefined {
  if (row.state === "pausing") return pauseCommand;
  if (row.state === "hibernating") return hibernateCommand;
  if (row.state === "resuming") return resumeCommand(observed.state === "error");
  return undefined;
}
