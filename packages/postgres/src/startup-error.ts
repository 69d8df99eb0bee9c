import { statfs } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";

/** A cluster needs some 40 MiB and its log as much again. */
const neededBytes = 96 * 1024 * 1024;

/**
 * Why PostgreSQL did not start, found by looking at what it needs, never by reading its messages: those are the
 * cause, for the log.
 */
export async function startupError(dir: string, cause: unknown): Promise<WrennError> {
  if (cause instanceof WrennError) return cause;
  const { bavail, bsize } = await statfs(dir);
  if (bavail * bsize < neededBytes) {
    const sentence = `the disk of ${dir} is full, PostgreSQL cannot start; free at least ${neededBytes / 2 ** 20} MiB`;
    return new WrennError("host_disk_full", sentence, { cause });
  }
  const lastWords = cause instanceof Error ? cause.message.trim() : String(cause);
  const advice =
    process.getuid?.() === 0
      ? "as root it needs user namespaces (sysctl user.max_user_namespaces); else set DATABASE_URL to a PostgreSQL of your own"
      : "mend what it says, or set DATABASE_URL to a PostgreSQL of your own";
  return new WrennError("internal_error", `PostgreSQL in ${dir} did not start; ${advice}: ${lastWords}`, {
    cause,
  });
}
