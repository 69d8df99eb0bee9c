import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What the agent notes of a snapshot that it took of a running capsule. */
export interface SnapshotLog {
  /** Between the stop of the guest and its going on, in milliseconds. */
  readonly stoppedMs: number;
  readonly dirtyBytes: number;
}

/**
 * The snapshots that were taken of a capsule. Only the host knows for how long a guest stood still: its own clocks stood
 * still too.
 */
export function readSnapshotLog(wrennDir: string, capsule: string): SnapshotLog[] {
  const lines = readFileSync(join(wrennDir, "logs", "wrenn-agent.log"), "utf8")
    .trim()
    .split("\n");
  const entries = lines.map((line): Record<string, unknown> => JSON.parse(line));
  return entries.flatMap((entry) => {
    const { stoppedMs, dirtyBytes } = entry;
    if (entry.capsule !== capsule || typeof stoppedMs !== "number" || typeof dirtyBytes !== "number")
      return [];
    return [{ stoppedMs, dirtyBytes }];
  });
}
