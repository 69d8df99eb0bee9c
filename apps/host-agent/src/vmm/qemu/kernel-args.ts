import { readFile } from "node:fs/promises";

/**
 * Kernel command line of a template's boot. Under emulation the kernel often fails to calibrate the TSC against
 * the PIT and then hangs, so it is told the rate: the guest's TSC is the host's.
 * Parameters: https://docs.kernel.org/admin-guide/kernel-parameters.html
 */
export function kernelArgs(tscKhz: number, bootTokenSha256: string): string {
  return [
    "console=ttyS0",
    "quiet",
    "loglevel=3",
    "reboot=t",
    "panic=-1",
    `tsc_early_khz=${tscKhz}`,
    "tsc=reliable",
    "root=/dev/vda",
    `wrenn.token_sha256=${bootTokenSha256}`,
  ].join(" ");
}

/** Rate of the host's time-stamp counter in kHz, as its kernel tells it. */
export async function hostTscKhz(): Promise<number> {
  const cpuinfo = await readFile("/proc/cpuinfo", "utf8");
  const mhz = Number(/^cpu MHz\s*:\s*([\d.]+)/m.exec(cpuinfo)?.[1]);
  if (!Number.isFinite(mhz)) throw new Error("/proc/cpuinfo names no clock rate");
  return Math.round(mhz * 1000);
}
