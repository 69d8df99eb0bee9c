import { readdir, readFile } from "node:fs/promises";

/**
 * First of the users that machines run as: above what distributions, subordinate ids of containers and directory
 * services hand out, below 2^31, which some programs take for a signed number.
 */
const firstUid = 1_900_000_000;

/** User (and group) of the machine in a slot. It has no name, no home, and owns no file that lasts. */
export function machineUid(slotIndex: number): number {
  return firstUid + slotIndex;
}

/**
 * Processes that run as a user, by their real id: what is left of a slot's machine when nobody remembers its pid.
 * The kernel's format: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
 */
export async function processesOf(uid: number): Promise<number[]> {
  const names = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const owned = await Promise.all(
    names.map(async (name) => {
      // A process may end while it is looked at.
      const status = await readFile(`/proc/${name}/status`, "utf8").catch(() => "");
      return new RegExp(`^Uid:\\t${uid}\\t`, "m").test(status);
    }),
  );
  return names.filter((_, i) => owned[i]).map(Number);
}
