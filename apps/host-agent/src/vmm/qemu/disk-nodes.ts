import type { DiskLayer } from "../vmm.ts";

/** Node on top of the disk that a machine is started with. */
export const diskNode = "disk";

/** Node of the layer below it with that many layers below itself. */
export function belowNode(index: number): string {
  return `below-${index}`;
}

export function isBelowNode(name: string): boolean {
  return /^below-\d+$/.test(name);
}

/** Marks the descriptor with which QEMU writes that disk. */
export const writableFd = "writable";

export interface OpenLayer {
  readonly fd: number;
  readonly format: DiskLayer["format"];
  /** The same file for reading, beside a descriptor that can write: with it QEMU opens anew a layer that is frozen. */
  readonly readFd?: number;
}

/** Arguments that open a disk and make it a node. */
export function diskArguments(disk: readonly OpenLayer[]): string[] {
  return [...disk.flatMap(layerSet), "-blockdev", JSON.stringify(blockNode(disk, false))];
}

/** Makes a descriptor known to QEMU's own opener, which dups it where the name of its set is given as a path. */
export function handedOver(fd: number): string[] {
  return ["-add-fd", `fd=${fd},set=${fd}`];
}

/** Of a set with two descriptors, the opener takes the one that can what is asked for. */
function layerSet({ fd, readFd }: OpenLayer): string[] {
  if (readFd === undefined) return handedOver(fd);
  return ["-add-fd", `fd=${fd},set=${fd},opaque=${writableFd}`, "-add-fd", `fd=${readFd},set=${fd}`];
}

export function fdset(fd: number): string {
  return `/dev/fdset/${fd}`;
}

/**
 * Explicit nodes for the whole chain: no format is ever probed from what a guest wrote, no path in it followed. Files are
 * opened as their layers are, also when that changes.
 */
function blockNode(layers: readonly OpenLayer[], readOnly: boolean): Record<string, unknown> {
  const top = layers.at(-1);
  if (!top) throw new RangeError("a disk has at least one layer");
  const below = layers.slice(0, -1);
  return {
    driver: top.format,
    "node-name": readOnly ? belowNode(below.length) : diskNode,
    "read-only": readOnly,
    discard: "unmap",
    file: { driver: "file", filename: fdset(top.fd) },
    ...(top.format === "qcow2" ? { backing: below.length > 0 ? blockNode(below, true) : null } : {}),
  };
}
