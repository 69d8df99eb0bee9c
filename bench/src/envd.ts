import { statSync } from "node:fs";
import { restingState } from "@wrenn/test/guest-agent/agent-state";
import { startBare } from "@wrenn/test/guest-agent/bare";
import { startCapsule } from "@wrenn/test/guest-agent/capsule";
import type { Guest } from "@wrenn/test/guest-agent/guest";
import { builtEnvd } from "@wrenn/test/support/platform-process";
import type { MeasuredPlatform } from "./platform.ts";
import { forkAndExec } from "./raw-spawn.ts";
import type { Report } from "./report.ts";
import { median, timed } from "./statistics.ts";

const mib = 1024 * 1024;
const processes = 1000;
const rounds = 10;
const samplesPerRound = 10;
const idleSeconds = 10;

/** What the guest agent costs, on this machine in namespaces of its own, and in a capsule. Its holder is with it. */
export async function envdSuite(platform: MeasuredPlatform): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const bare = await startBare(stack, ["--supervise"]);
  const onHost = await costs(bare);
  const inGuest = await costs(await startCapsule(stack, platform));
  return {
    suite: "envd",
    vmm: "",
    metrics: {
      binary_mib: statSync(process.env.WRENN_ENVD_BIN ?? builtEnvd()).size / mib,
      ...onHost,
      ...Object.fromEntries(Object.entries(inGuest).map(([name, value]) => [`guest_${name}`, value])),
    },
    bars: {
      binary_mib: { atMost: 8 },
      rss_mib: { atMost: 8 },
      guest_rss_mib: { atMost: 8 },
      spawn_vs_raw: { atMost: 2 },
      guest_spawn_vs_raw: { atMost: 2 },
      idle_wakeups_s: { atMost: 2 },
      guest_idle_wakeups_s: { atMost: 2 },
    },
  };
}

async function costs(guest: Guest): Promise<Record<string, number>> {
  const spawning = await spawnCosts(guest);
  for (let number = 0; number < processes; number++) await runTrue(guest);
  const { rssKib } = await restingState(guest);
  return { ...spawning, rss_mib: rssKib / 1024, idle_wakeups_s: await idleWakeups(guest) };
}

/**
 * A process from its start to its end, as a client of the agent sees it, beside one that a bare program forks. What a
 * call takes that starts nothing is no part of what a process costs.
 */
async function spawnCosts(guest: Guest): Promise<Record<string, number>> {
  const [spawn, call, raw]: [number[], number[], number[]] = [[], [], []];
  for (let round = -1; round < rounds; round++) {
    // In turns, so that a slow moment of the machine hits all of them.
    const theirs = await forkAndExec(guest, "/bin/true", samplesPerRound);
    for (let sample = 0; sample < samplesPerRound; sample++) {
      const empty = await timed(() => guest.processes.list({}));
      const ours = await timed(() => runTrue(guest));
      if (round < 0) continue; // the first round warms up
      call.push(empty.ms);
      spawn.push(ours.ms);
    }
    if (round >= 0) raw.push(...theirs);
  }
  return {
    spawn_ms_p50: median(spawn),
    call_ms_p50: median(call),
    raw_spawn_ms_p50: median(raw),
    spawn_vs_raw: (median(spawn) - median(call)) / median(raw),
  };
}

async function runTrue(guest: Guest): Promise<void> {
  const start = guest.as({ user: "root" }).processes.start({ process: { cmd: "/bin/true" }, stdin: false });
  for await (const { event } of start)
    if (event?.event.case === "end" && event.event.value.exitCode !== 0) throw new Error("true is false");
}

/** How often agent and holder run per second while nobody asks for anything, as their own guest counts it. */
async function idleWakeups(guest: Guest): Promise<number> {
  const look = "grep -h ctxt_switches /proc/$PPID/task/*/status /proc/$holder/status";
  const script = `
    holder=$(sed -n 's/^PPid:.//p' /proc/$PPID/status)
    sleep 4; before=$(${look})
    sleep ${idleSeconds}; after=$(${look})
    echo "$before"; echo; echo "$after"`;
  const [before, after] = (await guest.output(script, { user: "root" })).split("\n\n").map(total);
  return ((after ?? Number.NaN) - (before ?? Number.NaN)) / idleSeconds;
}

function total(lines: string): number {
  return [...lines.matchAll(/\d+$/gm)].reduce((sum, [count]) => sum + Number(count), 0);
}
