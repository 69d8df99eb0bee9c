import { errnoOf, WrennError } from "@wrenn/contracts";

/** What the host lacks gets a code of its own, so that the operator is told what to mend. */
export function hostError(error: unknown): unknown {
  if (error instanceof WrennError || errnoOf(error) !== "ENOSPC") return error;
  return new WrennError("host_disk_full", "the host's disk is full; free space below WRENN_DIR", {
    cause: error,
  });
}

/** The same in one word. */
export function reasonOf(error: unknown): string {
  const mapped = hostError(error);
  return mapped instanceof WrennError ? mapped.code : "internal_error";
}

/** Why an operation was not done: what is reported of a capsule that stays as it was. */
export function explain(error: unknown): { reason: string; detail: string } {
  const mapped = hostError(error);
  return { reason: reasonOf(error), detail: mapped instanceof WrennError ? mapped.message : "" };
}
