import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";

/**
 * The host's processor as far as a guest sees it: under KVM a guest has the host's, and what runs in its memory has
 * found out what that can do. An emulated one is the emulator's, whatever the host has.
 *
 * @param vmm name of the driver.
 */
export async function processorOf(vmm: string): Promise<string | undefined> {
  if (!vmm.endsWith("-kvm")) return undefined;
  const cpuinfo = await readFile("/proc/cpuinfo", "utf8");
  const field = (name: string) => new RegExp(`^${name}\\s*:\\s*(.*)$`, "m").exec(cpuinfo)?.[1]?.trim() ?? "";
  const flags = createHash("sha256").update(field("flags")).digest("hex").slice(0, 12);
  return `${field("model name") || field("vendor_id")} (${flags})`;
}
