import { readdir, readFile, readlink, realpath, unlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf, WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";

const pollMs = 20;

/** How a server is asked to end, ever more firmly, and how long each is waited for. */
const escalation = [
  { signal: "SIGINT", waitMs: 15_000 },
  { signal: "SIGQUIT", waitMs: 5_000 },
  { signal: "SIGKILL", waitMs: 5_000 },
] as const;

/**
 * Ends what an earlier life left running on a data directory, and removes its lock file.
 *
 * PostgreSQL's own check of `postmaster.pid` asks whether any process has that id, and an id is soon reused; ours
 * asks which PostgreSQL processes have the directory as their working directory, as all of a server's have.
 */
export async function endLeftover(dataDir: string, logger: Logger, signal?: AbortSignal): Promise<void> {
  const lockFile = join(dataDir, "postmaster.pid");
  const postmaster = await readPostmasterId(lockFile);
  if (postmaster === undefined) return;

  for (const step of escalation) {
    const living = await serverProcesses(dataDir);
    if (living.length === 0) break;
    logger.warn({ pids: living, signal: step.signal }, "ending the PostgreSQL of an earlier life");
    // Alone, the postmaster ends its children in order; without it, they are what is left.
    for (const pid of living.includes(postmaster) ? [postmaster] : living) sendSignal(pid, step.signal);
    await waitUntilGone(dataDir, step.waitMs, signal);
  }

  const living = await serverProcesses(dataDir);
  if (living.length > 0) {
    const sentence = `PostgreSQL processes ${living.join(", ")} of an earlier life do not end; end them by hand`;
    throw new WrennError("internal_error", sentence);
  }
  await unlink(lockFile).catch(ignoreMissing);
}

async function readPostmasterId(lockFile: string): Promise<number | undefined> {
  const text = await readFile(lockFile, "utf8").catch(ignoreMissing);
  return text === undefined ? undefined : Number.parseInt(text, 10) || 0;
}

async function serverProcesses(dataDir: string): Promise<number[]> {
  const directory = await realpath(dataDir);
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const ours = await Promise.all(ids.map((id) => isServerProcess(id, directory)));
  return ids.filter((_, index) => ours[index]).map(Number);
}

async function isServerProcess(id: string, directory: string): Promise<boolean> {
  try {
    if ((await readlink(`/proc/${id}/cwd`)) !== directory) return false;
    return basename(await readlink(`/proc/${id}/exe`)) === "postgres";
  } catch {
    return false; // it has ended, or is another user's
  }
}

async function waitUntilGone(dataDir: string, waitMs: number, signal?: AbortSignal): Promise<void> {
  const deadline = performance.now() + waitMs;
  while (performance.now() < deadline && (await serverProcesses(dataDir)).length > 0) {
    await sleep(pollMs, undefined, { signal });
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

function ignoreMissing(error: unknown): undefined {
  if (errnoOf(error) !== "ENOENT") throw error;
}
