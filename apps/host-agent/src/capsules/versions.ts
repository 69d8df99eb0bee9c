import type { CapsuleVersions } from "../journal/entry.ts";
import type { BootManifest } from "../templates/boot-manifest.ts";

/** What a capsule runs on that is made from a boot snapshot. */
export function versionsOf(manifest: BootManifest): CapsuleVersions {
  const { imageVersion, kernelVersion, envdVersion, vmm, vmmVersion } = manifest;
  return { imageVersion, kernelVersion, envdVersion, vmm, vmmVersion };
}
