import { once } from "node:events";
import { WrennError } from "@wrenn/contracts";
import { startCommand } from "./run-command.ts";
import { toolsMissing } from "./tools.ts";

/**
 * Takes the exclusive lock on `file`, which is created when absent, and waits while another process has it.
 * Disposing the result lets the lock go.
 *
 * Node cannot lock files, so `flock` holds the lock and becomes a `cat` on a pipe from this process. The kernel
 * closes the pipe however this process ends, `cat` then ends, and the lock is free: there are no stale locks.
 */
export async function lockFile(file: string, signal?: AbortSignal): Promise<AsyncDisposable> {
  signal?.throwIfAborted();
  const holder = startCommand("flock", ["--exclusive", "--no-fork", file, "cat"]);
  const exited = once(holder, "close").catch((error: unknown) => {
    throw toolsMissing(["flock"], error);
  });
  const release = async () => {
    holder.stdin?.end();
    await exited;
  };
  const kill = () => holder.kill("SIGKILL");
  signal?.addEventListener("abort", kill, { once: true });
  try {
    holder.stdin?.on("error", () => {});
    // The echo of this byte comes from cat, which runs only once flock has the lock.
    holder.stdin?.write("\n");
    const locked =
      holder.stdout === null ? exited : once(holder.stdout, "data").then(() => "locked" as const);
    const outcome = await Promise.race([locked, exited]);
    signal?.throwIfAborted();
    if (outcome !== "locked") throw new WrennError("image_missing", `The lock ${file} cannot be taken.`);
  } finally {
    signal?.removeEventListener("abort", kill);
  }
  return { [Symbol.asyncDispose]: release };
}
