import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { Type } from "typebox";
import { Value } from "typebox/value";
import type { DiskLayer } from "../vmm/vmm.ts";

/** Of the whole snapshot directory. Part of its key: another version is another snapshot. */
export const formatVersion = 1;

const Manifest = Type.Object({
  formatVersion: Type.Literal(formatVersion),
  createdAt: Type.String(),
  template: Type.String(),
  imageVersion: Type.String(),
  kernel: Type.String(),
  vmm: Type.String(),
  vmmVersion: Type.String(),
  vcpus: Type.Integer(),
  memoryMib: Type.Integer(),
  kernelVersion: Type.String(),
  envdVersion: Type.String(),
  /** Lowest first; absolute paths. */
  diskLayers: Type.Array(Type.Object({ path: Type.String(), format: Type.Enum(["raw", "qcow2"]) })),
});

/** What a boot snapshot says of itself in its `manifest.json`. */
export interface BootManifest {
  readonly formatVersion: typeof formatVersion;
  readonly createdAt: string;
  readonly template: string;
  readonly imageVersion: string;
  readonly kernel: string;
  readonly vmm: string;
  readonly vmmVersion: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  /** As `uname -r` said in the guest. */
  readonly kernelVersion: string;
  readonly envdVersion: string;
  readonly diskLayers: readonly DiskLayer[];
}

/** Reads the manifest of a snapshot directory; undefined when there is no such snapshot. */
export async function readManifest(dir: string): Promise<BootManifest | undefined> {
  const path = join(dir, "manifest.json");
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const value = parse(text);
  if (Value.Check(Manifest, value)) return value;
  throw new WrennError(
    "image_corrupt",
    `${path} is not a manifest of version ${formatVersion}; remove ${dir}`,
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
