import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

/** Port of the guest agent. */
const guestAgentPort = 49983;

/** A namespace like a slot's, made by hand. */
export interface RawNetwork {
  readonly namespacePath: string;
  /** Base URL of the guest agent of the machine in it. */
  readonly guestUrl: string;
}

/** Address pairs are counted down from the end of the slots' range, where no agent comes in a benchmark. */
const lastPair = 2 ** 15 - 1;

/** Makes the network of one raw machine. @param index tells networks that exist at one time apart. */
export function openNetwork(stack: DisposableStack | AsyncDisposableStack, index = 0): RawNetwork {
  const namespace = `wrenn-bench-${index}`;
  const link = `wrennbench${index}`;
  const [host, guest] = [addressOf((lastPair - index) * 2), addressOf((lastPair - index) * 2 + 1)];
  // Of a run that was killed.
  if (existsSync(`/run/netns/${namespace}`)) ip("netns", "delete", namespace);
  ip("netns", "add", namespace);
  stack.defer(() => ip("netns", "delete", namespace));
  ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace);
  ip("address", "add", `${host}/31`, "dev", link);
  ip("link", "set", link, "up");
  const batch = `link set lo up
address add ${guest}/31 dev eth0
link set eth0 up
tuntap add dev tap0 mode tap
link set tap0 address 02:fc:00:00:00:05
address add 169.254.0.22/30 dev tap0
link set tap0 up
neighbour replace 169.254.0.21 lladdr 52:54:00:12:34:56 dev tap0 nud permanent
`;
  const namespacePath = `/run/netns/${namespace}`;
  const inside = (command: string, args: string[], input?: string) =>
    execFileSync("nsenter", [`--net=${namespacePath}`, "--", command, ...args], { input });
  inside("ip", ["-batch", "-"], batch);
  inside("sysctl", ["-q", "-w", "net.ipv4.ip_forward=1"]);
  const rules = `table ip bench {
  chain pre { type nat hook prerouting priority dstnat; iifname "eth0" dnat to 169.254.0.21; }
  chain post { type nat hook postrouting priority srcnat; oifname "tap0" snat to 169.254.0.22; }
}`;
  inside("nft", ["-f", "-"], rules);
  return { namespacePath, guestUrl: `http://${guest}:${guestAgentPort}` };
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: "inherit" });
}

function addressOf(offset: number): string {
  return `10.11.${offset >> 8}.${offset & 255}`;
}
