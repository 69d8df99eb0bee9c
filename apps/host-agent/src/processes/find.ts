import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { identify, type ProcessIdentity } from "./identity.ts";

/** What gives away a process of ours. Any one of these suffices. */
export interface Traces {
  /** Works in this directory or below it, or writes its log there: a machine's root, and so its directory, is a jail's. */
  readonly dir?: string;
  /** Is in, or about to enter, the network namespace that is pinned here. */
  readonly namespacePath?: string;
  /** Runs as this user. */
  readonly uid?: number;
}

/** Processes that carry one of the traces. What the process says of itself (its name, its arguments) proves nothing. */
export async function findProcesses(traces: Traces): Promise<ProcessIdentity[]> {
  const namespace = traces.namespacePath && (await inode(traces.namespacePath));
  const found: ProcessIdentity[] = [];
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (!(await carries(pid, traces, namespace))) continue;
    // It may have ended meanwhile.
    const identity = await identify(pid).catch(() => undefined);
    if (identity) found.push(identity);
  }
  return found;
}

async function carries(pid: number, traces: Traces, namespace: number | undefined | ""): Promise<boolean> {
  if (traces.dir !== undefined) {
    for (const link of ["cwd", "fd/1"]) {
      const path = await readlink(`/proc/${pid}/${link}`).catch(() => "");
      if (path === traces.dir || path.startsWith(`${traces.dir}/`)) return true;
    }
  }
  if (traces.uid !== undefined && (await uidOf(pid)) === traces.uid) return true;
  if (!namespace || !traces.namespacePath) return false;
  if ((await inode(`/proc/${pid}/ns/net`)) === namespace) return true;
  return await isEntering(pid, traces.namespacePath);
}

/** The program that enters a namespace names it in its arguments until it is inside; so does the step before it. */
async function isEntering(pid: number, namespacePath: string): Promise<boolean> {
  const args = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return /^(nsenter|\/bin\/sh)\0/.test(args) && args.split("\0").includes(`--net=${namespacePath}`);
}

/** The real user. The owner of the directory would be root for a process that makes itself undumpable. */
async function uidOf(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const uid = /^Uid:\t(\d+)/m.exec(status)?.[1];
  return uid === undefined ? undefined : Number(uid);
}

async function inode(path: string): Promise<number | undefined> {
  const info = await stat(path).catch(() => undefined);
  return info?.ino;
}
