import { access, constants, readFile } from "node:fs/promises";
import type { Finding } from "@wrenn/contracts";
import { runCommand } from "@wrenn/daemon";
import type { CheckContext } from "../check.ts";

const name = "forwarding";

/** Whether packets of capsules can leave this host. The agent switches forwarding on itself, on two links. */
export async function checkForwarding({
  env,
  signal,
}: Pick<CheckContext, "env" | "signal">): Promise<Finding> {
  const uplink = defaultLink(await readFile("/proc/net/route", "utf8"));
  if (uplink === undefined) {
    return {
      name,
      status: "warning",
      detail: "this host has no default route, so capsules reach no network either",
      cure: "ip route add default via ROUTER",
    };
  }
  if (!(await canSwitch(uplink))) {
    return {
      name,
      status: "failing",
      detail: `forwarding on ${uplink} cannot be switched on by this user or in this container`,
      cure: "run as root, with a writable /proc/sys/net",
    };
  }
  const closed = await chainsThatDrop(env, signal);
  if (closed.length === 0) return { name, status: "ok", detail: `through ${uplink}` };
  return {
    name,
    status: "warning",
    detail: `${closed.join(", ")} drops what it does not know, and so what capsules send`,
    cure: "accept what comes from and goes to the links wrenn* there",
  };
}

/** The link of the default route, in the format of /proc/net/route (proc_net(5)). */
function defaultLink(routes: string): string | undefined {
  for (const line of routes.split("\n").slice(1)) {
    const [link, destination, , , , , , mask] = line.split("\t");
    if (destination === "00000000" && mask === "00000000") return link;
  }
  return undefined;
}

async function canSwitch(link: string): Promise<boolean> {
  return await access(`/proc/sys/net/ipv4/conf/${link}/forwarding`, constants.W_OK).then(
    () => true,
    () => false,
  );
}

interface Chain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
  readonly policy?: string;
}

/** Other firewalls' chains that a packet must pass too: what one drops, no other can let through. */
async function chainsThatDrop(env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<string[]> {
  // Without nft its own check says so, and this one has nothing to add.
  const listed = await runCommand("nft", ["-j", "list", "chains"], { env, signal }).catch(() => undefined);
  if (!listed) return [];
  const { nftables } = JSON.parse(listed.stdout) as { nftables: { chain?: Chain }[] };
  return nftables
    .map(({ chain }) => chain)
    .filter((chain) => chain?.hook === "forward" && chain.policy === "drop" && chain.family !== "ip6")
    .map((chain) => `the firewall chain ${chain?.family} ${chain?.table} ${chain?.name}`);
}
