import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** What figures depend on, so that two results can be compared. */
export function machineFacts(): Record<string, string | number> {
  return {
    cpu: cpus()[0]?.model ?? "",
    cores: cpus().length,
    memory_mib: Math.round(totalmem() / 2 ** 20),
    kernel: release(),
    node: process.version,
    // How busy the machine was with other things: a ratio holds, an absolute figure does not.
    load_before: Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]),
    measured_at: new Date().toISOString(),
  };
}
