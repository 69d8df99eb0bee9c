import { WrennError } from "@wrenn/contracts";
import type { Static, TSchema } from "typebox";
import { Value } from "typebox/value";
import type { QmpClient } from "./qmp-client.ts";

/**
 * Runs a command whose answer is used. A monitor may have been taken over by its guest, so the answer is checked.
 *
 * @throws {WrennError} `agent_error` for an answer of another shape.
 */
export async function ask<Schema extends TSchema>(
  monitor: QmpClient,
  command: string,
  args: Record<string, unknown>,
  schema: Schema,
): Promise<Static<Schema>> {
  const answer = await monitor.execute(command, args);
  if (Value.Check(schema, answer)) return answer as Static<Schema>;
  throw new WrennError("agent_error", `the monitor's answer to ${command} has another shape than QEMU's`);
}
