import type { Capsule } from "@wrenn/contracts/rest";
import { Api } from "@wrenn/test/support/api";
import type { MeasuredPlatform } from "./platform.ts";
import { daemonsOf, peakMib, resetPeak } from "./processes.ts";
import { type RawMachine, startRawMachine } from "./raw-machine.ts";
import { openNetwork } from "./raw-network.ts";
import { findSnapshot } from "./raw-snapshot.ts";
import type { Report } from "./report.ts";
import { median, percentile, timed } from "./statistics.ts";
import { drainOutput, makeZeros, readBesideSlowReader } from "./streams.ts";

const samples = 60;
const warmUps = 5;

/** What a command costs through the platform beside the same call to a guest agent, and what a stream carries. */
export async function execSuite(platform: MeasuredPlatform): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const api = new Api(platform);
  const capsule = await api.capsule(stack);
  const raw = stack.use(await startRawMachine(findSnapshot(platform.wrennDir, 1, 512), openNetwork(stack)));
  const { exec, direct } = await latencies(api, capsule, raw);
  // Only one machine has the cores while bytes are counted.
  await raw[Symbol.asyncDispose]();
  const streams = await streamed(api, capsule, platform);
  return {
    suite: "exec",
    vmm: capsule.metadata.vmm ?? "",
    metrics: {
      exec_ms_p50: median(exec),
      exec_ms_p99: percentile(exec, 0.99),
      direct_exec_ms_p50: median(direct),
      direct_exec_ms_p99: percentile(direct, 0.99),
      exec_vs_direct: median(exec) / median(direct),
      ...streams,
    },
    bars: {
      exec_vs_direct: { atMost: 1.5 },
      stream_lost_bytes: { atMost: 0 },
      agent_peak_growth_mib: { atMost: flatMib },
      gateway_peak_growth_mib: { atMost: flatMib },
    },
  };
}

const longBytes = 256 * 1024 * 1024;
const shortBytes = 64 * 1024 * 1024;

/** Growth that still counts as flat: what the garbage collector comes to now sooner, now later. */
const flatMib = 32;

async function latencies(
  api: Api,
  { id }: Capsule,
  raw: RawMachine,
): Promise<{ exec: number[]; direct: number[] }> {
  const [exec, direct]: [number[], number[]] = [[], []];
  for (let i = -warmUps; i < samples; i++) {
    // One after the other in the same round, so that a slow moment of the machine hits both.
    const theirs = await timed(() => raw.guest.exec("true"));
    const ours = await timed(() => api.exec(id, { cmd: "true" }));
    if (i < 0) continue;
    direct.push(theirs.ms);
    exec.push(ours.ms);
  }
  return { exec, direct };
}

/**
 * Bytes through both daemons, and how far their memory grows with the length of a stream: the peak of a long one
 * beside the peak of a short one. A first stream also grows a daemon's heap to its working size, which is no growth.
 */
async function streamed(
  api: Api,
  { id }: Capsule,
  platform: MeasuredPlatform,
): Promise<Record<string, number>> {
  const { agent, gateway } = daemonsOf(platform.pid);
  await makeZeros(api, id, shortBytes);
  await readBesideSlowReader(api, id, shortBytes);
  await drainOutput(api, id, shortBytes);
  const short = { agent: peakMib(agent), gateway: peakMib(gateway) };
  for (const pid of [agent, gateway]) resetPeak(pid);
  await makeZeros(api, id, longBytes);
  const { mbPerSecond, lostBytes } = await readBesideSlowReader(api, id, longBytes);
  const outputMbPerSecond = await drainOutput(api, id, longBytes);
  return {
    stream_mb_s: mbPerSecond,
    stream_lost_bytes: lostBytes,
    exec_output_mb_s: outputMbPerSecond,
    agent_peak_mib: peakMib(agent),
    agent_peak_growth_mib: Math.max(0, peakMib(agent) - short.agent),
    gateway_peak_mib: peakMib(gateway),
    gateway_peak_growth_mib: Math.max(0, peakMib(gateway) - short.gateway),
  };
}
