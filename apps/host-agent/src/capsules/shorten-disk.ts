import type { Machine } from "../vmm/vmm.ts";
import type { Capsule } from "./capsule.ts";
import type { HostParts } from "./host-parts.ts";
import { keepLayers } from "./keep-layers.ts";

/** Layers of its own that a machine may have before they are made one. Each live snapshot adds one. */
const longDisk = 6;

/** Makes the layers of a machine's own one, in the background, when there are many: until the next operation comes. */
export function shortenLongDisk(capsule: Capsule, machine: Machine, parts: HostParts): void {
  if (machine.ownLayers.length <= longDisk) return;
  const shorten = async (signal: AbortSignal) => {
    if (capsule.machine !== machine) return;
    await machine.shortenDisk(AbortSignal.any([signal, parts.signal]));
    const before = capsule.record.ownLayers.length;
    await keepLayers(capsule, machine.ownLayers, parts);
    parts.logger.info({ layers: before }, "shortened a disk");
  };
  capsule.operations.runInBackground(async (signal) => {
    try {
      await shorten(signal);
    } catch (err) {
      // The next snapshot tries it again.
      if (!signal.aborted) parts.logger.warn({ err }, "a disk could not be shortened");
    }
  });
}
