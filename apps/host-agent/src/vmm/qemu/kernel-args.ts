import { readFile } from "node:fs/promises";
import type { Accelerator } from "./command-line.ts";

/**
 * What every guest kernel is told. Under emulation it often fails to calibrate the TSC against the PIT and then hangs,
 * so it is told the rate: the guest's TSC is the host's. Under KVM it asks KVM.
 * Parameters: https://docs.kernel.org/admin-guide/kernel-parameters.html
 */
export async function baseKernelArgs(accelerator: Accelerator): Promise<string> {
  const args = ["console=ttyS0", "quiet", "loglevel=3", "reboot=t", "panic=-1"];
  if (accelerator === "tcg") args.push(`tsc_early_khz=${await hostTscKhz()}`, "tsc=reliable");
  return args.join(" ");
}

/** Kernel command line of a template's boot. */
export function bootKernelArgs(base: string, bootTokenSha256: string): string {
  return `${base} root=/dev/vda wrenn.token_sha256=${bootTokenSha256}`;
}

/** Rate of the host's time-stamp counter in kHz, as its kernel tells it. */
async function hostTscKhz(): Promise<number> {
  const cpuinfo = await readFile("/proc/cpuinfo", "utf8");
  const mhz = Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(cpuinfo)?.[1]);
  if (!Number.isFinite(mhz)) throw new Error("/proc/cpuinfo names no clock rate");
  return Math.round(mhz * 1000);
}
