import type { Finding } from "@wrenn/contracts";
import { findProgram } from "@wrenn/daemon";
import type { AgentConfig } from "../config.ts";

const slotPrograms = ["ip", "nft", "nsenter", "sysctl"];

/** Which network a capsule would get: a slot of its own as root, passt without. */
export async function probeNetwork(config: AgentConfig): Promise<Finding> {
  const name = "network";
  if (config.vmm === "simulated") {
    const cure = "unset WRENN_VMM; the simulated driver is for tests";
    return { name, status: "warning", detail: "capsules share this host's network", cure };
  }
  if (process.getuid?.() !== 0) return await withoutRoot(name);
  const missing: string[] = [];
  for (const program of slotPrograms) if (!(await findProgram(program))) missing.push(program);
  if (missing.length === 0) {
    return { name, status: "ok", detail: "a namespace with a TAP device of its own for each capsule" };
  }
  const detail = `network slots need ${missing.join(", ")}`;
  const cure = "apt-get install iproute2 nftables util-linux procps";
  return { name, status: "failing", detail, cure };
}

async function withoutRoot(name: string): Promise<Finding> {
  if (await findProgram("passt")) {
    return {
      name,
      status: "warning",
      detail:
        "passt: capsules reach what any program of this user reaches, this host's neighbourhood included",
      cure: "run as root for networks of their own",
    };
  }
  const detail = "without root the network is passt, which is not installed";
  return { name, status: "failing", detail, cure: "apt-get install passt, or run as root" };
}
