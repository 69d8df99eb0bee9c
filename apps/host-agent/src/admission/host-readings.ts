import { readFile, statfs } from "node:fs/promises";
import { totalmem } from "node:os";

const mebibyte = 1024 * 1024;

/** What this host has left at the moment, in MiB. */
export interface HostReadings {
  /** Memory that can be had without anything being given up but caches. */
  availableMemoryMib(): Promise<number>;
  /** Free disk space below the data directory. */
  freeDiskMib(): Promise<number>;
}

/** @param dir on the file system that holds capsules. */
export function hostReadings(dir: string): HostReadings {
  return {
    async availableMemoryMib() {
      const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(await readFile("/proc/meminfo", "utf8"))?.[1];
      if (kib === undefined) throw new Error("/proc/meminfo does not say how much memory is available");
      const limit = process.constrainedMemory();
      const ownMib = limit > 0 && limit < totalmem() ? process.availableMemory() / mebibyte : Infinity;
      return Math.floor(Math.min(Number(kib) / 1024, ownMib));
    },
    async freeDiskMib() {
      const { bavail, bsize } = await statfs(dir);
      return Math.floor((bavail * bsize) / mebibyte);
    },
  };
}

/** Memory of this host, or as much of it as the agent may use, in MiB. */
export function totalMemoryMib(): number {
  const limit = process.constrainedMemory();
  const bytes = limit > 0 ? Math.min(limit, totalmem()) : totalmem();
  return Math.floor(bytes / mebibyte);
}
