import { maxDiskMib, WrennError } from "@wrenn/contracts";
import type { GuestAgent } from "../guest/guest-agent.ts";
import { runInGuest } from "../guest/run-in-guest.ts";
import type { Machine } from "../vmm/vmm.ts";

const mebibyte = 1024 * 1024;

/** The disk of every guest, as its kernel names it. */
const device = "/dev/vda";

/** Size of a disk as it is asked for and told, in whole MiB. */
export function diskMibOf(bytes: number): number {
  return Math.ceil(bytes / mebibyte);
}

/**
 * Size that a capsule's disk is to be given, in bytes; undefined when it has the size of what it is made from.
 *
 * @param askedMib 0 for the latter.
 * @throws {WrennError} `invalid_request` for less than that, or more than any disk may have.
 */
export function grownDiskBytes(askedMib: number, sourceBytes: number): number | undefined {
  const leastMib = diskMibOf(sourceBytes);
  if (askedMib === 0 || askedMib === leastMib) return undefined;
  if (askedMib > leastMib && askedMib <= maxDiskMib) return askedMib * mebibyte;
  const sentence = `disk_size_mb must be from ${leastMib}, which its template has, to ${maxDiskMib}, not ${askedMib}`;
  throw new WrennError("invalid_request", sentence, { field: "disk_size_mb" });
}

/**
 * Gives a running machine a larger disk, and the guest the use of it.
 *
 * @throws {WrennError} `agent_error` when the guest has no program that grows its file system, or that fails.
 */
export async function growDisk(
  machine: Machine,
  guest: GuestAgent,
  bytes: number,
  signal: AbortSignal,
): Promise<void> {
  await machine.resizeDisk(bytes);
  // The programs of a guest without a kernel of its own are this host's, and so is its disk.
  if (machine.ownsKernel) await runInGuest(guest, "resize2fs", [device], signal, "root");
}
