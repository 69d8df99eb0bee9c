import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import type { BootManifest } from "./boot-manifest.ts";
import { parts } from "./make-boot-snapshot.ts";

/** A guest is told the first epoch when it boots, and that is in its memory. */
const bootEpoch = 1;

/** A boot snapshot as what machines are restored from. Its disk has the size of the image. */
export async function openBootSource(dir: string, manifest: BootManifest): Promise<RestoreSource> {
  const { template, vcpus, memoryMib, diskLayers } = manifest;
  const { imageVersion, kernelVersion, envdVersion, vmm, vmmVersion } = manifest;
  const [lowest] = diskLayers;
  if (!lowest) throw new WrennError("image_corrupt", `the boot snapshot ${dir} has no disk; remove it`);
  return {
    id: basename(dir),
    template,
    size: { vcpus, memoryMib },
    diskBytes: (await stat(lowest.path)).size,
    versions: { imageVersion, kernelVersion, envdVersion, vmm, vmmVersion },
    machine: {
      memoryPath: join(dir, parts.memory),
      deviceStatePath: join(dir, parts.deviceState),
      diskLayers,
    },
    token: await readFile(join(dir, parts.bootToken), "utf8"),
    restoreEpoch: bootEpoch,
  };
}
