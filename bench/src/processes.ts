import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";

/** `USER_HZ` of Linux: in what /proc counts processor time (proc_pid_stat(5)). */
const ticksPerSecond = 100;

/** Memory that goes when the process does: what no other process has mapped too (proc_pid_smaps_rollup(5)). */
export function privateMib(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return (kib(rollup, "Private_Clean") + kib(rollup, "Private_Dirty")) / 1024;
}

/** Resident memory in MiB. */
export function residentMib(pid: number): number {
  return kib(readFileSync(`/proc/${pid}/status`, "utf8"), "VmRSS") / 1024;
}

/** The kernel keeps a process's highest resident memory; this starts it anew (proc_pid_clear_refs(5)). */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** Highest resident memory in MiB since {@link resetPeak}. */
export function peakMib(pid: number): number {
  return kib(readFileSync(`/proc/${pid}/status`, "utf8"), "VmHWM") / 1024;
}

/** Processor time that a process has used, its threads included. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The name in parentheses may hold anything; fields 14 and 15 of the file are the 12th and 13th after it.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** Host agent and control plane among the children of `wrenn up`. */
export function daemonsOf(supervisor: number): { agent: number; gateway: number } {
  const children = pids().filter((pid) => parentOf(pid) === supervisor);
  const find = (pattern: RegExp) => {
    const pid = children.find((child) => pattern.test(commandLineOf(child)));
    if (pid === undefined) throw new Error(`no child of ${supervisor} is ${pattern}`);
    return pid;
  };
  return { agent: find(/host-agent|wrenn-agent/), gateway: find(/control-plane|wrenn-cp/) };
}

/** The VMMs of a platform: QEMU processes that its agent started, or that work in its directory. */
export function machinesOf(wrennDir: string, agent: number): number[] {
  return pids().filter((pid) => {
    try {
      if (!readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("qemu")) return false;
      return parentOf(pid) === agent || readlinkSync(`/proc/${pid}/cwd`).startsWith(`${wrennDir}/`);
    } catch {
      return false; // it has ended
    }
  });
}

function pids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return undefined;
  }
}

function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}

function kib(text: string, field: string): number {
  const value = new RegExp(`^${field}:\\s*(\\d+) kB`, "m").exec(text)?.[1];
  if (value === undefined) throw new Error(`/proc tells no ${field}`);
  return Number(value);
}
