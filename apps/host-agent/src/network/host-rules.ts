import { readFile, writeFile } from "node:fs/promises";
import { runCommand } from "@wrenn/daemon";
import { forbiddenRanges, slotNetwork } from "./addresses.ts";
import type { NetworkSlot } from "./slot.ts";

/**
 * This agent's table in the host's namespace: capsules reach the public internet and the name server, not each
 * other, not the host, not its neighbourhood. One set of links, so a capsule more adds no rule.
 */
export class HostRules implements AsyncDisposable {
  readonly #table: string;

  private constructor(table: string) {
    this.#table = table;
  }

  /** @param instance tells this agent's table from that of another on the same machine. */
  static async open(instance: string, nameserver: string, signal: AbortSignal): Promise<HostRules> {
    const rules = new HostRules(`wrenn_${instance}`);
    await allowForwarding();
    await runCommand("nft", ["-f", "-"], { input: tableText(`wrenn_${instance}`, nameserver), signal });
    return rules;
  }

  async admit(slot: NetworkSlot, signal?: AbortSignal): Promise<void> {
    await this.#element("add", slot, signal);
  }

  async dismiss(slot: NetworkSlot): Promise<void> {
    await this.#element("delete", slot);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await runCommand("nft", ["delete", "table", "inet", this.#table]);
  }

  async #element(verb: "add" | "delete", slot: NetworkSlot, signal?: AbortSignal): Promise<void> {
    const element = `{ "${slot.hostLink}" }`;
    await runCommand("nft", [verb, "element", "inet", this.#table, "links", element], { signal });
  }
}

function tableText(table: string, nameserver: string): string {
  return `
table inet ${table}
delete table inet ${table}
table inet ${table} {
  set links { type ifname; }
  set forbidden { type ipv4_addr; flags interval; elements = { ${forbiddenRanges.join(", ")} } }

  chain forward {
    type filter hook forward priority filter; policy accept
    iifname @links jump from_capsule
    oifname @links ct state established,related accept
    oifname @links drop
  }
  chain from_capsule {
    oifname @links drop
    meta nfproto ipv6 drop
    ip saddr != ${slotNetwork} drop
    ct state established,related accept
    ip daddr ${nameserver} meta l4proto { tcp, udp } th dport 53 accept
    ip daddr @forbidden drop
    accept
  }
  chain input {
    type filter hook input priority filter; policy accept
    iifname @links ct state established,related accept
    iifname @links drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept
    ip saddr ${slotNetwork} oifname != @links masquerade
  }
}
`;
}

/** Packets of capsules are forwarded on the uplink, answers come back through it; no other link is touched. */
async function allowForwarding(): Promise<void> {
  const routes = await readFile("/proc/net/route", "utf8");
  for (const line of routes.split("\n").slice(1)) {
    const [link, destination] = line.split("\t");
    if (link && destination === "00000000") {
      await writeFile(`/proc/sys/net/ipv4/conf/${link}/forwarding`, "1");
    }
  }
}
