import { join } from "node:path";
import { takenBytes } from "../disk-files.ts";
import type { LayerStore } from "../layers/layer-store.ts";
import { savedParts } from "../vmm/frozen.ts";
import { ownerOf } from "./owner.ts";
import type { StoredSnapshot } from "./stored-snapshot.ts";

/** Bytes on the disk that go with a snapshot: its files, and the layers that nobody else holds. */
export async function ownBytes({ id, dir, manifest }: StoredSnapshot, layers: LayerStore): Promise<number> {
  const own = (manifest?.diskLayers ?? [])
    .map(({ path }) => path)
    .filter((path) => [...layers.holders(path)].join() === ownerOf(id));
  const paths = [...Object.values(savedParts).map((name) => join(dir, name)), ...own];
  return (await Promise.all(paths.map(takenBytes))).reduce((sum, bytes) => sum + bytes, 0);
}
