import { statfs } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import type { HostReportBody } from "@wrenn/contracts/rest";
import { wrennVersion } from "@wrenn/daemon";

/** What a host says of itself when it registers and with every report. */
export type HostSpecs = Pick<
  HostReportBody,
  "address" | "arch" | "cpu_cores" | "memory_mb" | "disk_gb" | "agent_version" | "sent_at"
>;

/** @param dir on the file system that holds capsules. */
export async function hostSpecs(address: string, dir: string): Promise<HostSpecs> {
  const { blocks, bsize } = await statfs(dir);
  return {
    address,
    arch: process.arch,
    cpu_cores: availableParallelism(),
    memory_mb: Math.floor(totalmem() / 1024 ** 2),
    disk_gb: Math.floor((blocks * bsize) / 1024 ** 3),
    agent_version: wrennVersion,
    sent_at: new Date().toISOString(),
  };
}
