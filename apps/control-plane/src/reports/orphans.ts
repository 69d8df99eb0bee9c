import { newId } from "@wrenn/contracts";
import type { Kysely } from "kysely";
import type { BackgroundTasks } from "../background-tasks.ts";
import type { CapsuleOperations } from "../capsules/operations.ts";
import type { Schema } from "../database/schema.ts";
import type { Host } from "../hosts/host.ts";
import { wantFullReport } from "../hosts/store.ts";
import type { Log } from "../log.ts";

const destroyTimeoutMs = 60_000;

export interface OrphanParts {
  kysely: Kysely<Schema>;
  operations: CapsuleOperations;
  background: BackgroundTasks;
  logger: Log;
}

/**
 * Ends what a host has and should not, while nobody waits. If that fails, the host is asked for a full report, in
 * which the capsule is again.
 */
export function destroyOrphan(
  orphan: { id: string; generation: bigint },
  host: Host,
  { kysely, operations, background, logger }: OrphanParts,
): void {
  if (operations.has(orphan.id)) return;
  const operationId = newId("operation");
  logger.warn({ capsule: orphan.id, operation: operationId }, "destroying a capsule that should not be");
  const request = { capsuleId: orphan.id, generation: orphan.generation, operationId };
  background.start("destroy an orphan", () =>
    operations.run(orphan.id, async () => {
      try {
        await host.agent.call((client) => client.destroyCapsule(request, { timeoutMs: destroyTimeoutMs }));
      } catch (error) {
        await wantFullReport(kysely, host.id);
        throw error;
      }
    }),
  );
}
