import { access, readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { parseEntry } from "../../journal/entry.ts";
import { type CapsuleRecord, recordOf } from "../../journal/record.ts";
import type { Layout } from "../../layout.ts";

/** What a manifest says of where its snapshot lies. */
interface Manifest {
  readonly base?: string;
  readonly diskLayers: readonly { readonly path: string }[];
}

/**
 * What is wrong with what lies on the disk, as text: snapshots and layers that nobody needs, and those that somebody needs
 * and that are not there. Who needs what is found out from journals and manifests alone.
 *
 * @param templates ids of the snapshots that are offered.
 */
export async function storageProblems(layout: Layout, templates: readonly string[]): Promise<string[]> {
  const records = await readRecords(layout.journal);
  const held = records.flatMap(({ source, snapshot, taking }) => [source, snapshot, taking]);
  const present = await readdir(layout.snapshots);
  const manifests = await readManifests(layout.snapshots, present);
  const needed = await withBases([...held, ...templates], layout.snapshots, manifests);
  const boots = present.filter((name) => name.startsWith("boot-"));

  const layers = new Set<string>();
  for (const path of records.flatMap(({ ownLayers }) => ownLayers)) layers.add(basename(path));
  for (const id of [...needed, ...boots]) {
    for (const { path } of manifests.get(id)?.diskLayers ?? []) layers.add(basename(path));
  }
  // What the lowest layer stands on is the template's image.
  layers.delete("rootfs.ext4");
  const kept = await readdir(layout.layers);
  return [
    ...differences("snapshot", new Set([...needed, ...boots]), new Set(present)),
    ...differences("layer", layers, new Set(kept)),
  ];
}

function differences(kind: string, needed: ReadonlySet<string>, present: ReadonlySet<string>): string[] {
  const strays = [...present].filter((name) => !needed.has(name));
  const missing = [...needed].filter((name) => !present.has(name));
  return [
    ...strays.map((name) => `nobody needs ${kind} ${name}`),
    ...missing.map((name) => `${kind} ${name} is missing`),
  ];
}

async function readRecords(dir: string): Promise<CapsuleRecord[]> {
  const records: CapsuleRecord[] = [];
  for (const name of await readdir(dir)) {
    const text = await readFile(join(dir, name), "utf8").catch(() => "");
    const [, ...lines] = text.trimEnd().split("\n");
    const entries = lines.map(parseEntry).filter((entry) => entry !== undefined);
    const record = recordOf(basename(name, ".journal"), entries);
    if (record) records.push(record);
  }
  return records;
}

async function readManifests(dir: string, names: readonly string[]): Promise<Map<string, Manifest>> {
  const manifests = new Map<string, Manifest>();
  for (const name of names) {
    const text = await readFile(join(dir, name, "manifest.json"), "utf8").catch(() => undefined);
    if (text !== undefined) manifests.set(name, JSON.parse(text));
  }
  return manifests;
}

/** The snapshots, and those whose memory a diff among them is still of. */
async function withBases(
  ids: readonly (string | undefined)[],
  dir: string,
  manifests: ReadonlyMap<string, Manifest>,
): Promise<Set<string>> {
  const needed = new Set(ids.filter((id) => id !== undefined));
  // A set that grows while it is gone through is gone through to its end.
  for (const id of needed) {
    const base = manifests.get(id)?.base;
    const isDiff = await access(join(dir, id, "memory-diff")).then(
      () => true,
      () => false,
    );
    if (base !== undefined && isDiff) needed.add(base);
  }
  return needed;
}
