import type { Capsule } from "./capsule.ts";
import { machineHolder } from "./held.ts";
import type { HostParts } from "./host-parts.ts";

/** Notes which layers a machine has, and lets go of the others. Snapshots that stand on those hold them. */
export async function keepLayers(
  capsule: Capsule,
  kept: readonly string[],
  { layers }: HostParts,
): Promise<void> {
  const left = capsule.record.ownLayers.filter((path) => !kept.includes(path));
  capsule.note({ step: "layers", paths: [...kept] });
  for (const path of left) await layers.release(path, machineHolder(capsule.id));
}
