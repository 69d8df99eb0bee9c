import { type CapsuleState, WrennError } from "@wrenn/contracts";
import type { CapsuleRow } from "../database/schema.ts";
import type { OwnedKey } from "../idempotency/owned-key.ts";
import { type LifecycleOperation, stateDuring } from "./allowed.ts";
import type { CapsuleStore } from "./store.ts";

/**
 * What a command finds that was begun before under its key: the capsule where it was to be brought.
 *
 * @returns undefined when it is to be given anew.
 * @throws {WrennError} `request_in_progress` while it is still being done.
 */
export function foundDone(
  row: CapsuleRow,
  { operation, goals }: { operation: LifecycleOperation; goals: readonly CapsuleState[] },
  key: OwnedKey | undefined,
): CapsuleRow | undefined {
  if (!key?.again) return undefined;
  if (row.state === stateDuring[operation]) throw key.notYet();
  return goals.includes(row.state) ? row : undefined;
}

/**
 * What a fork finds that was begun before under its key: its copies.
 *
 * @returns undefined when there are none; `failed` when it has given them up.
 * @throws {WrennError} `request_in_progress` while they are still being made.
 */
export async function foundCopies(
  ids: readonly string[],
  key: OwnedKey | undefined,
  store: CapsuleStore,
): Promise<CapsuleRow[] | "failed" | undefined> {
  if (!key?.again) return undefined;
  const byId = new Map((await store.findMany([...ids])).map((row) => [row.id, row]));
  const rows = ids.map((id) => byId.get(id)).filter((row) => row !== undefined);
  if (rows.length === 0) return undefined;
  if (rows.some(({ state }) => state === "pending" || state === "starting")) throw key.notYet();
  return rows.every(({ started_at }) => started_at !== null) ? rows : "failed";
}

/**
 * Refuses to do again what may have been done and leaves no trace to see it by.
 *
 * @throws {WrennError} `conflict`
 */
export function refuseInterrupted(key: OwnedKey | undefined): void {
  if (!key?.interrupted) return;
  const sentence =
    "the control plane ended while it ran this command: whether that came to its end is not known; " +
    "to run it again, use another Idempotency-Key";
  throw new WrennError("conflict", sentence, { field: "Idempotency-Key" });
}
