import type { DiskLayer } from "../vmm.ts";

/** Most layers that a disk may have, the machine's own included. Longer chains are flattened first. */
export const maxDiskLayers = 32;

/** The uppermost of a snapshot's layers, on which a machine's own is made. */
export function topLayer(layers: readonly DiskLayer[]): DiskLayer {
  const top = layers.at(-1);
  if (top && layers.length < maxDiskLayers) return top;
  throw new RangeError(`a snapshot has 1 to ${maxDiskLayers - 1} disk layers, not ${layers.length}`);
}
