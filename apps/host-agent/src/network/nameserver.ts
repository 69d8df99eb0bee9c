import { readFile } from "node:fs/promises";

/** Used when the host names none that a capsule could reach. */
const publicNameserver = "1.1.1.1";

/**
 * The IPv4 name server that capsules are translated to. A stub on the host's loopback cannot be reached from a
 * namespace, so the list behind systemd-resolved's stub comes first.
 */
export async function findNameserver(): Promise<string> {
  for (const path of ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"]) {
    const text = await readFile(path, "utf8").catch(() => "");
    for (const [, address] of text.matchAll(/^nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$/gm)) {
      if (address && !address.startsWith("127.")) return address;
    }
  }
  return publicNameserver;
}
