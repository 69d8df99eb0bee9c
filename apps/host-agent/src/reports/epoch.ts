import { readFile } from "node:fs/promises";
import { errnoOf } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import { writeFileAtomic } from "@wrenn/daemon";

/**
 * Counts a start of the agent, durably, before it reports anything. The count is never below the seconds since 1970:
 * a host whose file was lost, or that is registered again on another disk, still reports as the newest life.
 */
export async function nextEpoch(path: string, logger: Logger): Promise<number> {
  const last = await readEpoch(path, logger);
  const epoch = Math.max(last + 1, Math.floor(Date.now() / 1000));
  await writeFileAtomic(path, `${epoch}\n`);
  return epoch;
}

async function readEpoch(path: string, logger: Logger): Promise<number> {
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return "0";
    throw error;
  });
  if (/^\d{1,15}$/.test(text.trim())) return Number(text);
  logger.warn({ path }, "the count of starts is unreadable; beginning anew");
  return 0;
}
