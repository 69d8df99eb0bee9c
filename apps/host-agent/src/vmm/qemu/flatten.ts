import { open } from "node:fs/promises";
import type { Confiner, Place } from "../../confinement/confiner.ts";
import { InheritedFiles } from "../../confinement/inherited-files.ts";
import { machineUid } from "../../confinement/machine-user.ts";
import { maxSlots } from "../../network/addresses.ts";
import { diskBytesOf, makeEmptyLayer } from "../disk/qcow2.ts";
import type { FlattenSpec } from "../vmm.ts";
import { flattenCommandLine, monitorFd } from "./command-line.ts";
import { diskNode, type OpenLayer } from "./disk-nodes.ts";
import { fullLayerBytes } from "./machine-files.ts";
import { endQemu, startQemu } from "./qemu-process.ts";
import { streamLayers } from "./stream-layers.ts";

/** A user above those of the slots and of the probe, and no network device. */
const place: Place = {
  index: maxSlots + 1,
  uid: machineUid(maxSlots + 1),
  namespacePath: "/proc/self/ns/net",
};

export interface FlattenParts {
  readonly binary: string;
  readonly confiner: Confiner;
  readonly signal: AbortSignal;
}

/**
 * Has a QEMU without a machine stream the layers into an empty one on top of them. They were written by guests' machines,
 * so it is confined as a machine is, and has descriptors alone; no program of ours reads them.
 */
export async function flattenLayers(spec: FlattenSpec, parts: FlattenParts): Promise<void> {
  const { layers, kept, path, id, runDir } = spec;
  const { binary, confiner, signal } = parts;
  const top = layers.at(-1);
  if (!top || kept < 1 || kept >= layers.length) {
    throw new RangeError(`of ${layers.length} layers, ${kept} cannot stay and some be flattened`);
  }
  const diskBytes = await diskBytesOf(top);
  await makeEmptyLayer(path, diskBytes);
  await using stack = new AsyncDisposableStack();
  const files = stack.use(new InheritedFiles(monitorFd - 2));
  const disk: OpenLayer[] = [];
  for (const layer of layers) disk.push({ fd: await files.open(layer.path, "r"), format: layer.format });
  disk.push({ fd: await files.open(path, "r+"), format: "qcow2" });
  const program = { file: binary, args: flattenCommandLine(id, disk) };
  const command = await confiner.confine(
    program,
    place,
    { vcpus: 1, memoryMib: 0 },
    fullLayerBytes(diskBytes),
  );
  stack.defer(() => confiner.release(place));
  const qemu = await startQemu({ command, files, runDir }, signal);
  stack.defer(() => endQemu(qemu));
  await streamLayers(qemu.monitor, diskNode, kept, signal);
  await qemu.monitor.execute("quit").catch(() => {});
  await qemu.exited;
  await using file = await open(path, "r");
  await file.sync();
}
