import { WrennError } from "@wrenn/contracts";
import type { ResumeCapsuleBody } from "@wrenn/contracts/rest";
import type { CapsuleRow } from "../database/schema.ts";
import type { OwnedKey } from "../idempotency/owned-key.ts";
import type { Log } from "../log.ts";
import { resumeCommand } from "./commands.ts";
import { commandCapsule, type LifecycleParts } from "./lifecycle.ts";

/**
 * Resumes a capsule where it was paused, or on its disk alone.
 *
 * @throws {WrennError} as {@link commandCapsule}; `invalid_state` for one whose memory is gone, but for `disk`.
 */
export async function resumeCapsule(
  row: CapsuleRow,
  from: ResumeCapsuleBody["from"],
  parts: LifecycleParts,
  logger: Log,
  key?: OwnedKey | undefined,
): Promise<CapsuleRow> {
  if (row.state === "error") checkDisk(row, from);
  return commandCapsule(row, resumeCommand(from === "disk"), parts, logger, key);
}

function checkDisk({ id, host_id, started_at, reason }: CapsuleRow, from: ResumeCapsuleBody["from"]): void {
  if (host_id === null || started_at === null || reason === "lost") {
    throw new WrennError(
      "invalid_state",
      `capsule ${id} has no disk any more (${reason}); it can be destroyed`,
    );
  }
  if (from !== "disk") {
    const cure = 'its disk is there: resume it with {"from": "disk"}';
    throw new WrennError("invalid_state", `the memory of capsule ${id} is gone (${reason}); ${cure}`, {
      field: "from",
    });
  }
}
