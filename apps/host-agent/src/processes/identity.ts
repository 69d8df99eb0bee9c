import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { errnoOf } from "@wrenn/contracts";

/** One process of one boot of this machine. A pid alone is used again after its process has ended. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks between the boot and the start of the process: field 22 of proc_pid_stat(5). */
  readonly startTicks: string;
  readonly bootId: string;
}

/** @throws when there is no such process. */
export async function identify(pid: number): Promise<ProcessIdentity> {
  const stat = await readStat(pid);
  if (!stat) throw new RangeError(`there is no process ${pid}`);
  return { pid, startTicks: stat.startTicks, bootId: await bootId() };
}

/** Whether the process has not ended. One that has ended and that nobody has waited for does not run. */
export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  if (identity.bootId !== (await bootId())) return false;
  const stat = await readStat(identity.pid);
  return stat?.startTicks === identity.startTicks && stat.state !== "Z" && stat.state !== "X";
}

/** Ends a process for good, and waits until it is gone. One that has ended is fine. */
export async function endProcess(identity: ProcessIdentity): Promise<void> {
  if (!(await isRunning(identity))) return;
  try {
    process.kill(identity.pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
  await waitUntilGone(identity, 2);
}

/** Resolves when the process has ended. The kernel tells only its parent, so this has to look. */
export async function waitUntilGone(identity: ProcessIdentity, everyMs: number): Promise<void> {
  while (await isRunning(identity)) await delay(everyMs);
}

let thisBoot: Promise<string> | undefined;

/** Tells one boot of this machine from another: random(4). */
export function bootId(): Promise<string> {
  thisBoot ??= readFile("/proc/sys/kernel/random/boot_id", "utf8").then((text) => text.trim());
  return thisBoot;
}

async function readStat(pid: number): Promise<{ state: string; startTicks: string } | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The name of the program is in parentheses and may contain anything, also parentheses and spaces.
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, startTicks] = [fields?.[0], fields?.[19]];
  return state && startTicks ? { state, startTicks } : undefined;
}
