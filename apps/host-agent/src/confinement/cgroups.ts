import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@wrenn/contracts";

/** What one machine may use of its host. */
export interface CgroupLimits {
  readonly memoryMib: number;
  /** Processes and threads. */
  readonly tasks: number;
  /** Share of the processors when they are short: 100 is the default of every group, up to 10000. */
  readonly cpuWeight: number;
}

const controllers = ["cpu", "memory", "pids"] as const;

/** All groups of all agents are below this one of the host's root group, so they outlive the agent's service. */
const tree = "wrenn";

/**
 * The groups of this agent's machines, one each, in the host's cgroup v2.
 * Interface: https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
export class Cgroups implements AsyncDisposable {
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /**
   * Makes the agent's group, and removes those of machines that have ended.
   *
   * @param instance tells this agent's groups from those of another on the same machine.
   * @returns a sentence for the operator where the host has no cgroup v2 that can be used.
   */
  static async open(instance: string): Promise<Cgroups | { readonly unavailable: string }> {
    const mount = await findMount();
    if (mount === undefined) return { unavailable: "cgroup v2 is not mounted" };
    const present = (await readFile(join(mount, "cgroup.controllers"), "utf8")).split(/\s+/);
    const missing = controllers.filter((name) => !present.includes(name));
    if (missing.length > 0) {
      const cure = "boot the host with systemd.unified_cgroup_hierarchy=1";
      return { unavailable: `cgroup v2 lacks ${missing.join(", ")}, which version 1 has; ${cure}` };
    }
    const dir = join(mount, tree, instance);
    try {
      await mkdir(dir, { recursive: true });
      for (const parent of [mount, join(mount, tree), dir]) await delegate(parent);
    } catch (error) {
      const code = errnoOf(error);
      if (code === undefined) throw error;
      return { unavailable: `${dir} cannot be made with limits of its own (${code})` };
    }
    const cgroups = new Cgroups(dir);
    for (const entry of await readdir(dir, { withFileTypes: true })) {
      if (entry.isDirectory()) await cgroups.remove(entry.name);
    }
    return cgroups;
  }

  /** Makes a machine's group, or gives the present one these limits. @returns its directory. */
  async make(name: string, limits: CgroupLimits): Promise<string> {
    const dir = join(this.#dir, name);
    await mkdir(dir, { recursive: true });
    const values = {
      "memory.max": `${limits.memoryMib * 1024 * 1024}`,
      // A machine that is out of memory ends whole: half of it is of no use.
      "memory.oom.group": "1",
      "pids.max": `${limits.tasks}`,
      "cpu.weight": `${limits.cpuWeight}`,
    };
    for (const [file, value] of Object.entries(values)) await writeFile(join(dir, file), value);
    return dir;
  }

  /** Removes a machine's group. One that a process is in stays, and so does the limit on it. */
  async remove(name: string): Promise<void> {
    await removeUnused(join(this.#dir, name));
  }

  /** Removes the agent's group, unless machines are in it: they go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    await removeUnused(this.#dir);
  }
}

async function removeUnused(dir: string): Promise<void> {
  await rmdir(dir).catch((error: unknown) => {
    if (!["EBUSY", "ENOENT"].includes(errnoOf(error) ?? "")) throw error;
  });
}

/** Lets the groups below have limits. */
async function delegate(dir: string): Promise<void> {
  const wanted = controllers.map((name) => `+${name}`).join(" ");
  await writeFile(join(dir, "cgroup.subtree_control"), wanted);
}

/** Format: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html */
async function findMount(): Promise<string | undefined> {
  const mounts = await readFile("/proc/self/mountinfo", "utf8");
  return /^\d+ \d+ \S+ \/ (\S+) .* - cgroup2 /m.exec(mounts)?.[1];
}
