import { type Finding, WrennError } from "@wrenn/contracts";
import { CommandFailed, runCommand } from "@wrenn/daemon";
import type { CheckContext } from "../check.ts";

/** One of each thing that the agent's rules use. It ends with the namespace that it is made in. */
const rules = `
table inet wrenn_doctor {
  set links { type ifname; }
  set ranges { type ipv4_addr; flags interval; elements = { 10.0.0.0/8 } }
  chain forward {
    type filter hook forward priority filter; policy accept
    iifname @links ct state established,related accept
    ip daddr @ranges drop
  }
  chain prerouting {
    type nat hook prerouting priority dstnat
    iifname @links dnat ip to 169.254.0.21
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    ip saddr 10.0.0.0/8 masquerade
  }
}
`;

/** Whether the kernel takes rules like ours, tried in a network namespace that nothing else sees. */
export async function checkNftables({ env, signal }: Pick<CheckContext, "env" | "signal">): Promise<Finding> {
  const name = "nftables";
  const own = process.getuid?.() === 0 ? ["--net"] : ["--user", "--map-root-user", "--net"];
  try {
    await runCommand("unshare", [...own, "--", "nft", "-f", "-"], { env, signal, input: rules });
    return { name, status: "ok", detail: "filter, sets and translation work" };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof WrennError) {
      return { name, status: "failing", detail: error.message, cure: "apt-get install nftables util-linux" };
    }
    if (!(error instanceof CommandFailed)) throw error;
    const [firstLine] = error.stderr.trim().split("\n");
    return {
      name,
      status: "failing",
      detail: `a table like ours is refused: ${firstLine || error.message}`,
      cure: "install nftables, and load nf_tables and nft_nat (a container needs CAP_NET_ADMIN)",
    };
  }
}
