import { canTransition } from "@wrenn/contracts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";
import type { HostParts } from "./host-parts.ts";
import { releaseAll } from "./release.ts";

/** Ends a capsule and lets go of everything that it has. */
export async function destroyCapsule(
  capsule: Capsule,
  { operation, generation }: CapsuleCommand,
  reason: string,
  parts: HostParts,
): Promise<void> {
  // A create that was given up has left nothing.
  if (capsule.state === "stopped") return;
  // Not when that has begun already, and could not be finished.
  if (canTransition(capsule.state, "stopping")) {
    capsule.move({ step: "destroy", operation, generation: Math.max(capsule.generation, generation) });
  }
  await releaseAll(capsule, parts);
  await capsule.forget(reason);
  parts.logger.info({ reason }, "capsule destroyed");
}
