import type { Finding } from "@wrenn/contracts";
import type { AgentConfig } from "../config.ts";
import { layoutOf } from "../layout.ts";
import { probeCgroup } from "./cgroup.ts";
import { probeImages } from "./images.ts";
import { probeKernel } from "./kernel.ts";
import { probeMachines } from "./machines.ts";
import { probeNetwork } from "./network.ts";

/** A guest is tried under KVM for four seconds. */
const timeoutMs = 20_000;

/**
 * `wrenn-agent probe`: what this agent would run capsules with on this machine, and what of that is missing. It is
 * the agent's part of `wrenn doctor`, as JSON on stdout. It runs beside an agent that serves, and leaves nothing but
 * the verdict on KVM, which that agent reads too.
 */
export async function probe(config: AgentConfig): Promise<number> {
  const layout = layoutOf(config.wrennDir);
  const signal = AbortSignal.timeout(timeoutMs);
  const findings: readonly Finding[][] = [
    await probeMachines({ config, layout, signal }),
    [await probeCgroup(layout)],
    [await probeNetwork(config)],
    [await probeKernel(layout), await probeImages(layout)],
  ];
  await new Promise((written) =>
    process.stdout.write(`${JSON.stringify({ findings: findings.flat() })}\n`, written),
  );
  return 0;
}
