import { Api } from "@wrenn/test/support/api";
import type { MeasuredPlatform } from "./platform.ts";
import { pooledCreates } from "./pooled-creates.ts";
import { newComputer } from "./raw-guest.ts";
import { rawRestore, startRawMachine } from "./raw-machine.ts";
import { openNetwork, type RawNetwork } from "./raw-network.ts";
import { findSnapshot, type RawSnapshot } from "./raw-snapshot.ts";
import type { Report } from "./report.ts";
import { median, percentile, timed } from "./statistics.ts";

const samples = 24;
const burst = 30;
const hostCores = 2;

/** How long a create takes beside the bare restore of the same snapshot, first command included, and thirty at once. */
export async function createSuite(platform: MeasuredPlatform): Promise<Report> {
  const api = new Api(platform);
  const vmm = await bootTemplate(api);
  const snapshot = findSnapshot(platform.wrennDir, 1, 512);
  using stack = new DisposableStack();
  const networks = Array.from({ length: burst }, (_, index) => openNetwork(stack, index));
  const [network] = networks;
  if (!network) throw new RangeError("a burst is at least one");

  const [creates, interactive, execs, raws, clones]: number[][] = [[], [], [], [], []];
  for (let i = 0; i < samples; i++) {
    // One after the other in the same round, so that a slow moment of the machine hits both.
    raws?.push(await rawRestore(snapshot, network));
    clones?.push(await rawRestore(snapshot, network, newComputer()));
    await withCapsule(api, async (id, createMs) => {
      const first = await timed(() => api.exec(id, { cmd: "/bin/echo" }));
      const second = await timed(() => api.exec(id, { cmd: "/bin/echo" }));
      creates?.push(createMs);
      interactive?.push(createMs + first.ms);
      execs?.push(second.ms);
    });
  }
  const besidePool: number[] = [];
  const pooled = await pooledCreates(
    samples,
    async () => void besidePool.push(await rawRestore(snapshot, network)),
  );
  const rawBurstMs = await rawBurstOf(snapshot, networks);
  const { ok, ms: burstMs } = await burstOf(api);
  const [create, raw, exec] = [median(creates ?? []), median(raws ?? []), median(execs ?? [])];
  return {
    suite: "create",
    vmm,
    metrics: {
      create_ms_p50: create,
      create_ms_p99: percentile(creates ?? [], 0.99),
      raw_restore_ms_p50: raw,
      create_vs_raw: create / raw,
      // The bare restore only takes a token; becoming a computer of its own is work of the guest, with or without us.
      raw_clone_ms_p50: median(clones ?? []),
      create_vs_raw_clone: create / median(clones ?? []),
      create_pooled_ms_p50: median(pooled),
      create_pooled_vs_raw: median(pooled) / median(besidePool),
      tti_ms_p50: median(interactive ?? []),
      exec_ms_p50: exec,
      burst_ok: ok,
      burst_ms: burstMs,
      // What thirty machines at once take without the platform: they share caches too, not just cores.
      raw_burst_ms: rawBurstMs,
      burst_vs_raw_burst: burstMs / rawBurstMs,
    },
    bars: {
      create_ms_p99: { atMost: 3 * create },
      create_vs_raw: { atMost: 1.3 },
      create_pooled_vs_raw: { atMost: 0.5 },
      tti_ms_p50: { atMost: create + 2 * exec },
      burst_ok: { atLeast: burst },
      burst_ms: { atMost: ((burst * raw) / hostCores) * 1.5 },
    },
  };
}

/** The first create of a size boots the template. @returns the VMM that it uses. */
async function bootTemplate(api: Api): Promise<string> {
  await using stack = new AsyncDisposableStack();
  return (await api.capsule(stack)).metadata.vmm ?? "";
}

async function withCapsule(api: Api, use: (id: string, createMs: number) => Promise<void>): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { ms, value } = await timed(() => api.capsule(stack));
  await use(value.id, ms);
}

/** @returns milliseconds until the last one answers. */
async function rawBurstOf(snapshot: RawSnapshot, networks: readonly RawNetwork[]): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const { ms } = await timed(() =>
    Promise.all(networks.map(async (network) => stack.use(await startRawMachine(snapshot, network)))),
  );
  return ms;
}

async function burstOf(api: Api): Promise<{ ok: number; ms: number }> {
  await using stack = new AsyncDisposableStack();
  const { ms, value } = await timed(() =>
    Promise.allSettled(Array.from({ length: burst }, () => api.capsule(stack))),
  );
  return { ok: value.filter(({ status }) => status === "fulfilled").length, ms };
}
