import { Api } from "@wrenn/test/support/api";
import { dirtyMemory, readPatterns, writePatterns } from "./guest-patterns.ts";
import { operate } from "./operate.ts";
import type { MeasuredPlatform } from "./platform.ts";
import { rawRestore } from "./raw-machine.ts";
import { openNetwork } from "./raw-network.ts";
import { findSnapshot } from "./raw-snapshot.ts";
import type { Report } from "./report.ts";
import { median, percentile } from "./statistics.ts";

const cycles = 20;
const dirtyMib = 64;

/**
 * How long a pause takes, and a resume at once after it, beside the bare restore of a snapshot; whether the memory that a
 * guest has, but has not written, matters; and whether anything is another after a cycle than it was.
 */
export async function pauseSuite(platform: MeasuredPlatform): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  const api = new Api(platform);
  const { id, metadata } = await api.capsule(stack, { memory_mb: 512 });
  const large = await api.capsule(stack, { memory_mb: 2048 });
  const snapshot = findSnapshot(platform.wrennDir, 1, 512);
  const network = openNetwork(stack);

  const pauses: number[] = [];
  const resumes: number[] = [];
  const largePauses: number[] = [];
  const largeResumes: number[] = [];
  const raws: number[] = [];
  let mismatches = 0;
  for (let cycle = 0; cycle < cycles; cycle++) {
    // One after the other in the same round, so that a slow moment of the machine hits all of them.
    raws.push(await rawRestore(snapshot, network));
    const written = await writePatterns(api, id, dirtyMib);
    pauses.push(await operate(api, id, "pause"));
    resumes.push(await operate(api, id, "resume"));
    const read = await readPatterns(api, id);
    if (read.join() !== written.join()) mismatches += 1;
    await dirtyMemory(api, large.id, dirtyMib);
    largePauses.push(await operate(api, large.id, "pause"));
    largeResumes.push(await operate(api, large.id, "resume"));
  }
  const [pause, raw] = [median(pauses), median(raws)];
  return {
    suite: "pause",
    vmm: metadata.vmm ?? "",
    metrics: {
      pause_ms_p50: pause,
      pause_ms_p99: percentile(pauses, 0.99),
      resume_ms_p50: median(resumes),
      resume_ms_p99: percentile(resumes, 0.99),
      raw_restore_ms_p50: raw,
      resume_vs_raw: median(resumes) / raw,
      pause_2g_ms_p50: median(largePauses),
      resume_2g_ms_p50: median(largeResumes),
      pause_2g_vs_512m: median(largePauses) / pause,
      cycle_mismatches: mismatches,
    },
    bars: {
      resume_ms_p50: { atMost: 1.5 * raw },
      resume_vs_raw: { atMost: 1.5 },
      pause_2g_vs_512m: { atMost: 1.3 },
      cycle_mismatches: { atMost: 0 },
    },
  };
}
