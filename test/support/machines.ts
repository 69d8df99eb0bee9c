import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Pid of the VMM of a capsule, found by its log, its standard output; undefined when it has none. */
export async function machinePid(wrennDir: string, capsuleId: string): Promise<number | undefined> {
  const runDir = join(wrennDir, "machines", await runDirName(wrennDir, capsuleId));
  for (const name of (await readdir("/proc")).filter((candidate) => /^\d+$/.test(candidate))) {
    const output = await readlink(`/proc/${name}/fd/1`).catch(() => "");
    if (dirname(output) === runDir) return Number(name);
  }
  return undefined;
}

/** A machine that waited in the pool keeps the directory that it was started with: the capsule's journal names it. */
async function runDirName(wrennDir: string, capsuleId: string): Promise<string> {
  const journal = await readFile(join(wrennDir, "journal", `${capsuleId}.journal`), "utf8").catch(() => "");
  const steps = journal.split("\n").filter((line) => /"step":"(run_dir|take_over)"/.test(line));
  return /"runDir":"([a-z0-9]+)"/.exec(steps.at(-1) ?? "")?.[1] ?? capsuleId;
}

/** Base URL of a capsule's guest agent as the host dials it: the slot whose namespace the VMM runs in. */
export async function guestUrl(wrennDir: string, capsuleId: string): Promise<string> {
  const pid = await machinePid(wrennDir, capsuleId);
  const { ino } = await stat(`/proc/${pid}/ns/net`);
  for (const name of await readdir("/run/netns")) {
    const index = Number(/^wrenn-(\d+)$/.exec(name)?.[1]);
    if ((await stat(join("/run/netns", name))).ino !== ino) continue;
    const offset = index * 2 + 1;
    return `http://10.11.${offset >> 8}.${offset & 255}:49983`;
  }
  throw new Error(`no network slot holds the machine of ${capsuleId}`);
}
