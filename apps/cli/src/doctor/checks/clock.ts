import type { Finding } from "@wrenn/contracts";
import { runCommand } from "@wrenn/daemon";
import type { CheckContext } from "../check.ts";

/** Certificates are dated: a host whose clock is years off trusts nobody and is trusted by nobody. */
const firstYear = 2026;
const lastYear = 2100;

/** Bit of the kernel's clock status that an NTP client takes away (STA_UNSYNC, adjtimex(2)). */
const unsynchronised = 0x40;

type Verdict = "synchronised" | "unsynchronised" | undefined;

/** Whether the clock is plausible, and whether something keeps it right. */
export async function checkClock(
  { env, signal }: Pick<CheckContext, "env" | "signal">,
  now = new Date(),
): Promise<Finding> {
  const name = "clock";
  const time = now.toISOString().replace(/\.\d+/, "");
  const year = now.getUTCFullYear();
  if (year < firstYear || year > lastYear) {
    return { name, status: "failing", detail: `it says ${time}`, cure: "set it: date -s, or an NTP client" };
  }
  const verdict = (await askChrony(env, signal)) ?? (await askKernel(env, signal));
  if (verdict === "synchronised") return { name, status: "ok", detail: `synchronised, ${time}` };
  return {
    name,
    status: "warning",
    detail: `${verdict ? "not synchronised" : "nothing here says whether it is synchronised"}, ${time}; a host that is five minutes off is refused`,
    cure: "run an NTP client, such as chrony or systemd-timesyncd",
  };
}

/** Chrony keeps the clock without telling the kernel, unless it is configured to. */
async function askChrony(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Verdict> {
  const answer = await outputOf("chronyc", ["-c", "tracking"], env, signal);
  // The last of the comma-separated fields is the leap status (chronyc(1)).
  const leap = answer?.trim().split(",").at(-1);
  if (!leap) return undefined;
  return leap === "Not synchronised" ? "unsynchronised" : "synchronised";
}

async function askKernel(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<Verdict> {
  const answer = await outputOf("busybox", ["adjtimex"], env, signal);
  const status = /^\s*status:\s*(\d+)/m.exec(answer ?? "")?.[1];
  if (status !== undefined) return Number(status) & unsynchronised ? "unsynchronised" : "synchronised";
  const told = await outputOf("timedatectl", ["show", "--property=NTPSynchronized", "--value"], env, signal);
  if (!told) return undefined;
  return told.trim() === "yes" ? "synchronised" : "unsynchronised";
}

/** Undefined when the program is not there or cannot say. */
async function outputOf(
  command: string,
  args: string[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<string | undefined> {
  return await runCommand(command, args, { env, signal }).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
}
