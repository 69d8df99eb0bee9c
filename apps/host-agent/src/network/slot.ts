import { writeFile } from "node:fs/promises";
import { machineUid } from "../confinement/machine-user.ts";
import { exists } from "../disk-files.ts";
import {
  gatewayMac,
  guestAddress,
  guestGateway,
  guestMac,
  guestPrefix,
  slotAddresses,
  tapName,
} from "./addresses.ts";
import { runIn, runIp } from "./namespace.ts";

/** A network namespace with a TAP device for one machine, and a link to the host. */
export interface NetworkSlot {
  readonly index: number;
  readonly namespace: string;
  readonly namespacePath: string;
  /** Name of the link on the host's side. */
  readonly hostLink: string;
  /** Address at which the host reaches the guest. */
  readonly guestAddress: string;
  /** User that the slot's machine runs as; the TAP device belongs to it. */
  readonly uid: number;
}

/** The names and addresses of a slot, which all follow from its index. */
export function slotOf(index: number): NetworkSlot {
  return {
    index,
    namespace: `wrenn-${index}`,
    namespacePath: `/run/netns/wrenn-${index}`,
    hostLink: `wrenn${index}`,
    guestAddress: slotAddresses(index).guest,
    uid: machineUid(index),
  };
}

/** Makes a slot: namespace, link, TAP, addresses and translation. A failure leaves parts for {@link removeSlot}. */
export async function makeSlot(slot: NetworkSlot, nameserver: string, signal: AbortSignal): Promise<void> {
  const { host, guest } = slotAddresses(slot.index);
  await runIp(
    [
      `netns add ${slot.namespace}`,
      `link add ${slot.hostLink} type veth peer name eth0 netns ${slot.namespace}`,
      `address add ${host}/31 dev ${slot.hostLink}`,
      `link set ${slot.hostLink} up`,
    ],
    signal,
  );
  await writeFile(`/proc/sys/net/ipv4/conf/${slot.hostLink}/forwarding`, "1");
  await runIn(slot.namespace, "sysctl", ["-q", "-w", ...namespaceSysctls], undefined, signal);
  const lines = [
    "link set lo up",
    `address add ${guest}/31 dev eth0`,
    "link set eth0 up",
    `route add default via ${host}`,
    `tuntap add dev ${tapName} mode tap user ${slot.uid}`,
    `link set ${tapName} address ${gatewayMac}`,
    `address add ${guestGateway}/${guestPrefix} dev ${tapName}`,
    `link set ${tapName} up`,
    // A clone answers at once: nobody has to ask who has the guest's address.
    `neighbour replace ${guestAddress} lladdr ${guestMac} dev ${tapName} nud permanent`,
  ];
  await runIn(slot.namespace, "ip", ["-batch", "-"], `${lines.join("\n")}\n`, signal);
  await runIn(slot.namespace, "nft", ["-f", "-"], slotRules(guest, nameserver), signal);
}

/**
 * Removes a slot, or what there is of one. Its link would go with its namespace, but some time later: the kernel
 * removes namespaces in the background, and until then nobody could make the slot again.
 */
export async function removeSlot(slot: NetworkSlot): Promise<void> {
  const link = (await exists(`/sys/class/net/${slot.hostLink}`)) ? [`link delete ${slot.hostLink}`] : [];
  const namespace = (await namespaceExists(slot)) ? [`netns delete ${slot.namespace}`] : [];
  const commands = [...link, ...namespace];
  if (commands.length > 0) await runIp(commands);
}

const namespaceSysctls = [
  "net.ipv4.ip_forward=1",
  "net.ipv6.conf.all.disable_ipv6=1",
  "net.ipv4.conf.all.rp_filter=1",
];

/** Translation between the slot's address and the guest's, and nothing else in or out. */
function slotRules(guest: string, nameserver: string): string {
  return `
table ip wrenn {
  chain prerouting {
    type nat hook prerouting priority dstnat
    iifname "eth0" ip daddr ${guest} dnat to ${guestAddress}
    iifname "${tapName}" ip daddr ${guestGateway} udp dport 53 dnat to ${nameserver}
    iifname "${tapName}" ip daddr ${guestGateway} tcp dport 53 dnat to ${nameserver}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "${tapName}" snat to ${guestGateway}
    oifname "eth0" snat to ${guest}
  }
  chain forward {
    type filter hook forward priority filter; policy drop
    ct state established,related accept
    iifname "eth0" oifname "${tapName}" accept
    iifname "${tapName}" oifname "eth0" ip saddr ${guestAddress} accept
  }
  chain input {
    type filter hook input priority filter; policy drop
    ct state established,related accept
  }
}
`;
}

/** Whether a namespace of the slot's name exists, whoever made it. */
export async function namespaceExists(slot: NetworkSlot): Promise<boolean> {
  return await exists(slot.namespacePath);
}
