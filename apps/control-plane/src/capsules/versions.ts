import type { Capsule } from "@wrenn/contracts/host";
import type { CapsuleVersions } from "../database/schema.ts";

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
