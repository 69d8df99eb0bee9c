import { readFile, writeFile } from "node:fs/promises";
import { runCommand } from "@wrenn/daemon";
import { forbiddenRanges, slotNetwork } from "./addresses.ts";
import type { NetworkSlot } from "./slot.ts";

/**
 * This agent's table in the host's namespace: capsules reach the public internet and the name server, not each
 * other, not the host, not its neighbourhood. One set of links, so a capsule more adds no rule.
 */
export class HostRules {
  readonly #table: string;

  private constructor(table: string) {
    this.#table = table;
  }

  /**
   * Replaces the table in one transaction: capsules that run are behind one all the time.
   *
   * @param instance tells this agent's table from that of another on the same machine.
   * @param slots what is behind the table from the start.
   */
  static async open(
    instance: string,
    nameserver: string,
    slots: readonly NetworkSlot[],
    signal: AbortSignal,
  ): Promise<HostRules> {
    const rules = new HostRules(`wrenn_${instance}`);
    await allowForwarding();
    const links = slots.map(({ hostLink }) => hostLink);
    await runCommand("nft", ["-f", "-"], {
      input: tableText(`wrenn_${instance}`, nameserver, links),
      signal,
    });
    return rules;
  }

  async admit(slot: NetworkSlot, signal?: AbortSignal): Promise<void> {
    await this.#elements(["add"], slot, signal);
  }

  /** One that is not there is fine: it is added first, in the same transaction. */
  async dismiss(slot: NetworkSlot): Promise<void> {
    await this.#elements(["add", "delete"], slot);
  }

  /** Removes the table. Only when no capsule is behind it any more. */
  async remove(): Promise<void> {
    await runCommand("nft", ["delete", "table", "inet", this.#table]);
  }

  async #elements(verbs: ("add" | "delete")[], slot: NetworkSlot, signal?: AbortSignal): Promise<void> {
    const lines = verbs.map((verb) => `${verb} element inet ${this.#table} links { "${slot.hostLink}" }\n`);
    await runCommand("nft", ["-f", "-"], { input: lines.join(""), signal });
  }
}

function tableText(table: string, nameserver: string, links: readonly string[]): string {
  const elements = links.length > 0 ? `elements = { ${links.map((link) => `"${link}"`).join(", ")} }` : "";
  return `
table inet ${table}
delete table inet ${table}
table inet ${table} {
  set links { type ifname; ${elements} }
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
