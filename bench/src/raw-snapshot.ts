import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A boot snapshot as it lies on the disk. */
export interface RawSnapshot {
  readonly dir: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  /** The token that every clone accepts until it is claimed. */
  readonly bootToken: string;
  readonly layers: readonly { path: string; format: string }[];
}

/** The boot snapshot of a size that a platform has made. */
export function findSnapshot(wrennDir: string, vcpus: number, memoryMib: number): RawSnapshot {
  for (const name of readdirSync(join(wrennDir, "snapshots"))) {
    if (!/^boot-[0-9a-f]+$/.test(name)) continue;
    const dir = join(wrennDir, "snapshots", name);
    const manifest = JSON.parse(readFileSync(join(dir, "manifest.json"), "utf8"));
    if (manifest.vcpus === vcpus && manifest.memoryMib === memoryMib) {
      const bootToken = readFileSync(join(dir, "boot-token"), "utf8");
      return { dir, vcpus, memoryMib, bootToken, layers: manifest.diskLayers };
    }
  }
  throw new Error(`there is no boot snapshot of ${vcpus} vCPU and ${memoryMib} MiB`);
}
