import { Api } from "@wrenn/test/support/api";
import { readSnapshotLog } from "./agent-log.ts";
import { dirtyMemory } from "./guest-patterns.ts";
import { fork } from "./operate.ts";
import type { MeasuredPlatform } from "./platform.ts";
import { rawRestore } from "./raw-machine.ts";
import { openNetwork } from "./raw-network.ts";
import { findSnapshot } from "./raw-snapshot.ts";
import type { Report } from "./report.ts";
import { median } from "./statistics.ts";

const forks = 10;
const memoryMib = 2048;
const [fewMib, manyMib] = [64, 512];

/** What a fork costs its source, which stands still meanwhile, and how long ten copies take. */
export async function forkSuite(platform: MeasuredPlatform): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const api = new Api(platform);
  const { metadata } = await api.capsule(stack, { memory_mb: memoryMib });
  const snapshot = findSnapshot(platform.wrennDir, 1, memoryMib);
  const network = openNetwork(stack);
  const raws: number[] = [];
  const raw = async () => void raws.push(await rawRestore(snapshot, network));
  const few = await forkTenTimes(api, platform, fewMib, raw);
  const many = await forkTenTimes(api, platform, manyMib, raw);
  const perMib = (many.stopMs - few.stopMs) / (many.dirtyMib - few.dirtyMib);
  return {
    suite: "fork",
    vmm: metadata.vmm ?? "",
    metrics: {
      fork_source_stop_ms_p50: few.stopMs,
      fork_ms_p50: few.forkMs,
      dirty_mib: few.dirtyMib,
      fork10_ms: few.tenAtOnceMs,
      stop_512m_ms_p50: many.stopMs,
      fork_512m_ms_p50: many.forkMs,
      fork10_512m_ms: many.tenAtOnceMs,
      stop_ms_per_mib: perMib,
      raw_restore_ms_p50: median(raws),
    },
    bars: {
      fork_source_stop_ms_p50: { atMost: 50 },
      stop_ms_per_mib: { atMost: 1 },
      fork10_ms: { atMost: 10 * median(raws) },
    },
  };
}

interface Figures {
  readonly stopMs: number;
  readonly forkMs: number;
  readonly tenAtOnceMs: number;
  /** What was taken, which is more than what was written on purpose. */
  readonly dirtyMib: number;
}

/** Forks a capsule into one copy, ten times, and into ten at once. @param raw taken beside each, for comparison. */
async function forkTenTimes(
  api: Api,
  { wrennDir }: MeasuredPlatform,
  mib: number,
  raw: () => Promise<void>,
): Promise<Figures> {
  await using stack = new AsyncDisposableStack();
  const { id } = await api.capsule(stack, { memory_mb: memoryMib });
  await dirtyMemory(api, id, mib);
  const times: number[] = [];
  for (let i = 0; i < forks; i++) {
    await raw();
    await using copies = new AsyncDisposableStack();
    times.push((await fork(api, copies, id, 1)).ms);
  }
  const tenAtOnce = await fork(api, stack, id, forks);
  if (tenAtOnce.copies.length !== forks) throw new Error(`${tenAtOnce.copies.length} copies, not ${forks}`);
  const taken = readSnapshotLog(wrennDir, id);
  if (taken.length !== forks + 1) throw new Error(`${taken.length} snapshots, not ${forks + 1}`);
  return {
    stopMs: median(taken.map(({ stoppedMs }) => stoppedMs)),
    forkMs: median(times),
    tenAtOnceMs: tenAtOnce.ms,
    dirtyMib: median(taken.map(({ dirtyBytes }) => dirtyBytes)) / 2 ** 20,
  };
}
