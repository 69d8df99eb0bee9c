import type { Guest } from "./guest.ts";

/** What the agent holds, as the kernel of its guest counts it. */
export interface AgentState {
  readonly pid: number;
  readonly rssKib: number;
  readonly descriptors: number;
  readonly threads: number;
}

/**
 * Runs inside the guest, because each further request would wake the agent's threads again. Those for blocking work end
 * when there is none for a while, and then one is left; half a minute is more than ever.
 */
const look = `
tries=150
until grep -q '^Threads:.1$' /proc/$PPID/status || [ $tries = 0 ]; do sleep 0.2; tries=$((tries - 1)); done
echo $PPID; ls /proc/$PPID/fd | wc -l; grep -E '^(VmRSS|Threads)' /proc/$PPID/status`;

/** Looks at the agent, once it rests, from a process that it starts; that is the same for every measurement. */
export async function restingState(guest: Guest): Promise<AgentState> {
  const text = await guest.output(look, { user: "root" });
  const [pid, descriptors] = text.split("\n").map(Number);
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(text)?.[1]);
  return {
    pid: pid ?? Number.NaN,
    descriptors: descriptors ?? Number.NaN,
    rssKib: field("VmRSS"),
    threads: field("Threads"),
  };
}
