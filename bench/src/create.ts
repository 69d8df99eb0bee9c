import { Api } from "@wrenn/test/support/api";
import type { MeasuredPlatform } from "./platform.ts";
import { rawRestore } from "./raw-machine.ts";
import { openNetwork } from "./raw-network.ts";
import { findSnapshot } from "./raw-snapshot.ts";
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
  const network = openNetwork(stack);

  const [creates, interactive, execs, raws]: number[][] = [[], [], [], []];
  for (let i = 0; i < samples; i++) {
    // One after the other in the same round, so that a slow moment of the machine hits both.
    raws?.push(await rawRestore(snapshot, network));
    await withCapsule(api, async (id, createMs) => {
      const first = await timed(() => api.exec(id, { cmd: "/bin/echo" }));
      const second = await timed(() => api.exec(id, { cmd: "/bin/echo" }));
      creates?.push(createMs);
      interactive?.push(createMs + first.ms);
      execs?.push(second.ms);
    });
  }
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
      tti_ms_p50: median(interactive ?? []),
      exec_ms_p50: exec,
      burst_ok: ok,
      burst_ms: burstMs,
    },
    bars: {
      create_ms_p99: { atMost: 3 * create },
      create_vs_raw: { atMost: 1.3 },
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

async function burstOf(api: Api): Promise<{ ok: number; ms: number }> {
  await using stack = new AsyncDisposableStack();
  const { ms, value } = await timed(() =>
    Promise.allSettled(Array.from({ length: burst }, () => api.capsule(stack))),
  );
  return { ok: value.filter(({ status }) => status === "fulfilled").length, ms };
}
