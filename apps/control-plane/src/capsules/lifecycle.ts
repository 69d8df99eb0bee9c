import type { CapsuleAnswer } from "@wrenn/contracts/host";
import type { CapsuleRow } from "../database/schema.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { beginCommand, type Command, type CommandParts, finishCommand } from "./command.ts";
import type { CapsuleOperations } from "./operations.ts";

export interface LifecycleParts extends CommandParts {
  operations: CapsuleOperations;
  metrics: Metrics;
}

/**
 * Gives a capsule a command, and answers with what has become of it. It goes on even if the caller has gone.
 *
 * @throws {WrennError} `invalid_state` or `conflict` before anything is done, or what the host said.
 */
export function commandCapsule(
  row: CapsuleRow,
  command: Command<CapsuleAnswer>,
  parts: LifecycleParts,
  logger: Log,
): Promise<CapsuleRow> {
  return parts.metrics.operation(command.operation, () =>
    parts.operations.run(row.id, async () => {
      const begun = await beginCommand(row, command.operation, parts.store);
      const { capsule } = await finishCommand(begun, command, parts, logger, row);
      return capsule;
    }),
  );
}
