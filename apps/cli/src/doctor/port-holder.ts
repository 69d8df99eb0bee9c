import { readdir, readFile, readlink } from "node:fs/promises";

/** `st` of a listening socket in /proc/net/tcp (proc_net(5)). */
const listening = "0A";

/** The process that listens on a TCP port, as far as this user may look: `nginx (pid 812)`. */
export async function portHolder(port: number): Promise<string | undefined> {
  const inodes = new Set<string>();
  for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
    for (const line of (await readFile(table, "utf8").catch(() => "")).split("\n").slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      const isPort = Number.parseInt(local?.split(":")[1] ?? "", 16) === port;
      if (isPort && state === listening && inode) inodes.add(`socket:[${inode}]`);
    }
  }
  if (inodes.size === 0) return undefined;
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    if (!(await holdsOneOf(pid, inodes))) continue;
    const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "?");
    return `${name.trim()} (pid ${pid})`;
  }
  return undefined;
}

async function holdsOneOf(pid: string, sockets: ReadonlySet<string>): Promise<boolean> {
  // A process may end while it is looked at, or be another user's.
  for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => [])) {
    if (sockets.has(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ""))) return true;
  }
  return false;
}
