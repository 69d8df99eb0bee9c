import type { CapsuleAnswer } from "@wrenn/contracts/host";
import type { CapsuleRow } from "../database/schema.ts";
import type { OwnedKey } from "../idempotency/owned-key.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { beginCommand, type Command, type CommandParts, finishCommand } from "./command.ts";
import { foundDone } from "./made-again.ts";
import type { CapsuleOperations } from "./operations.ts";

export interface LifecycleParts extends CommandParts {
  operations: CapsuleOperations;
  metrics: Metrics;
}

/**
 * Gives a capsule a command, and answers with what has become of it. It goes on even if the caller has gone.
 *
 * @param key of the request: made again, it finds what it has done.
 * @throws {WrennError} `invalid_state` or `conflict` before anything is done, or what the host said.
 */
export async function commandCapsule(
  row: CapsuleRow,
  command: Command<CapsuleAnswer>,
  parts: LifecycleParts,
  logger: Log,
  key?: OwnedKey | undefined,
): Promise<CapsuleRow> {
  const done = foundDone(row, command, key);
  if (done) return done;
  return parts.metrics.operation(command.operation, () =>
    parts.operations.run(row.id, async () => {
      const begun = await beginCommand(row, command.operation, parts.store);
      const { capsule } = await finishCommand(begun, command, parts, logger, row);
      return capsule;
    }),
  );
}
