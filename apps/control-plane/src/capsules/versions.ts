import type { Capsule } from "@wrenn/contracts/host";
import type { CapsuleVersions } from "../database/schema.ts";

/** Names of those versions. They are shown among a capsule's metadata, so that no entry of its owner has one. */
export const versionNames: readonly string[] = [
  "kernel_version",
  "vmm",
  "vmm_version",
  "agent_version",
  "envd_version",
  "image_version",
];

/** Versions of what a capsule runs on, as its host tells them; what it does not tell is left out. */
export function versionsOf(capsule: Capsule, agentVersion: string | undefined): CapsuleVersions {
  const told = {
    kernel_version: capsule.kernelVersion,
    vmm: capsule.vmm,
    vmm_version: capsule.vmmVersion,
    agent_version: agentVersion ?? "",
    envd_version: capsule.envdVersion,
    image_version: capsule.imageVersion,
  };
  return Object.fromEntries(Object.entries(told).filter(([, version]) => version !== ""));
}
