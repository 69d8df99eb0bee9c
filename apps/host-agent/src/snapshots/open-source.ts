import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { savedParts } from "../vmm/frozen.ts";
import type { SnapshotManifest } from "./manifest.ts";
import { snapshotParts } from "./parts.ts";
import type { RestoreSource } from "./restore-source.ts";

/**
 * A snapshot whose memory is whole, as what a machine is restored from. What can be checked without reading it is.
 *
 * @throws {WrennError} `snapshot_corrupt`, which names the file that is not as it was.
 */
export async function openSource(dir: string, manifest: SnapshotManifest): Promise<RestoreSource> {
  const { id, template, vcpus, memoryMib, diskBytes, versions, restoreEpoch } = manifest;
  const { memoryBytes, deviceStateSha256, diskLayers } = manifest;
  const memoryPath = join(dir, savedParts.memory);
  const deviceStatePath = join(dir, savedParts.deviceState);
  const bytes = await sizeOf(memoryPath);
  if (bytes !== memoryBytes) throw corrupt(`${memoryPath} has ${bytes} bytes, not ${memoryBytes}`);
  await sizeOf(deviceStatePath);
  await checkLayers(manifest);
  const token = await readFile(join(dir, snapshotParts.token), "utf8").catch(missing);
  return {
    ...{ id, template, size: { vcpus, memoryMib }, diskBytes, versions, token, restoreEpoch },
    machine: { memoryPath, deviceStatePath, deviceStateSha256, diskLayers },
  };
}

/** @throws {WrennError} `snapshot_corrupt` when a layer of the disk is missing. */
export async function checkLayers({ diskLayers }: SnapshotManifest): Promise<void> {
  for (const { path } of diskLayers) await sizeOf(path);
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(missing)).size;
}

function missing(cause: unknown): never {
  if (errnoOf(cause) === "ENOENT") throw corrupt("a file of a snapshot is missing", cause);
  throw cause;
}

function corrupt(sentence: string, cause?: unknown): WrennError {
  const path = cause instanceof Error && "path" in cause ? `: ${String(cause.path)}` : "";
  return new WrennError("snapshot_corrupt", `${sentence}${path}`, { cause });
}
