import { readdir, readlink, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "@wrenn/daemon";
import type { Layout } from "../layout.ts";
import { readManifest } from "../templates/boot-manifest.ts";

/**
 * Removes what an earlier life of this agent left behind: machines (found by their working directory, which only
 * they have), run directories, snapshots that were never committed, and disk layers that nothing refers to.
 */
export async function reapLeftovers(layout: Layout, logger: Logger): Promise<void> {
  for (const pid of await processesIn(layout.machines)) {
    logger.warn({ pid }, "ending a machine of an earlier life");
    process.kill(pid, "SIGKILL");
  }
  for (const name of await readdir(layout.machines)) await removeTree(join(layout.machines, name));
  const names = await readdir(layout.snapshots);
  for (const name of names.filter((candidate) => candidate.includes(".partial-"))) {
    await removeTree(join(layout.snapshots, name));
  }
  const kept = await referencedLayers(layout);
  for (const name of await readdir(layout.layers)) {
    const path = join(layout.layers, name);
    if (!kept.has(path)) await removeTree(path);
  }
}

async function referencedLayers(layout: Layout): Promise<Set<string>> {
  const paths = new Set<string>();
  for (const name of await readdir(layout.snapshots)) {
    const manifest = await readManifest(join(layout.snapshots, name));
    for (const layer of manifest?.diskLayers ?? []) paths.add(layer.path);
  }
  return paths;
}

async function processesIn(dir: string): Promise<number[]> {
  const pids: number[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    // A process may end while it is looked at, and a kernel thread has no directory.
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => "");
    if (cwd.startsWith(`${dir}/`)) pids.push(Number(name));
  }
  return pids;
}

async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
