import { setTimeout as sleep } from "node:timers/promises";
import { Api } from "@wrenn/test/support/api";
import type { MeasuredPlatform } from "./platform.ts";
import { cpuSeconds, daemonsOf, machinesOf, privateMib, residentMib } from "./processes.ts";
import { startRawMachine } from "./raw-machine.ts";
import { openNetwork } from "./raw-network.ts";
import { findSnapshot } from "./raw-snapshot.ts";
import type { Report } from "./report.ts";

const count = 60;
/** Creates and destroys before anything is counted, so that the agent's code is compiled and its heap grown. */
const warmUps = 20;
/** Guests finish what a start has set off. */
const settleMs = 15_000;
/** Longer than any of the platform's periods: a heartbeat every 30 s. */
const idleMs = 40_000;

/** What an idle capsule costs in memory and processor time, beside as many machines without the platform. */
export async function densitySuite(platform: MeasuredPlatform): Promise<Report> {
  const api = new Api(platform);
  const { agent, gateway } = daemonsOf(platform.pid);
  const vmm = await warmUp(api);
  const agentBefore = residentMib(agent);

  const ours = await manyCapsules(api, async () => {
    const machines = machinesOf(platform.wrennDir, agent);
    if (machines.length !== count) throw new Error(`${machines.length} machines run, not ${count}`);
    return {
      idleCores: await idleCores([...machines, agent, gateway]),
      privateMib: mean(machines.map(privateMib)),
      agentMib: residentMib(agent),
    };
  });
  const raw = await manyRawMachines(platform.wrennDir, async (machines) => ({
    idleCores: await idleCores(machines),
    privateMib: mean(machines.map(privateMib)),
  }));
  return {
    suite: "density",
    vmm,
    metrics: {
      private_mib_per_idle: ours.privateMib,
      raw_private_mib_per_idle: raw.privateMib,
      private_vs_raw: ours.privateMib / raw.privateMib,
      agent_mib_per_capsule: (ours.agentMib - agentBefore) / count,
      idle_cores_per_100: (ours.idleCores / count) * 100,
      raw_idle_cores_per_100: (raw.idleCores / count) * 100,
    },
    bars: {
      private_vs_raw: { atMost: 1.3 },
      agent_mib_per_capsule: { atMost: 0.5 },
    },
  };
}

async function warmUp(api: Api): Promise<string> {
  let vmm = "";
  for (let i = 0; i < warmUps; i++) {
    await using stack = new AsyncDisposableStack();
    vmm = (await api.capsule(stack)).metadata.vmm ?? "";
  }
  return vmm;
}

async function manyCapsules<T>(api: Api, measure: () => Promise<T>): Promise<T> {
  await using stack = new AsyncDisposableStack();
  for (let i = 0; i < count; i++) await api.capsule(stack);
  return await measure();
}

async function manyRawMachines<T>(wrennDir: string, measure: (pids: number[]) => Promise<T>): Promise<T> {
  await using stack = new AsyncDisposableStack();
  const snapshot = findSnapshot(wrennDir, 1, 512);
  const pids: number[] = [];
  for (let i = 0; i < count; i++) {
    pids.push(stack.use(await startRawMachine(snapshot, openNetwork(stack, i))).pid);
  }
  return await measure(pids);
}

/** Cores that the processes use together while nobody asks anything of them. */
async function idleCores(pids: readonly number[]): Promise<number> {
  await sleep(settleMs);
  const total = () => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  const [before, started] = [total(), performance.now()];
  await sleep(idleMs);
  return (total() - before) / ((performance.now() - started) / 1000);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
