import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { WrennError } from "@wrenn/contracts";

/** A module the initramfs loads. */
export interface KernelModule {
  name: string;
  file: string;
  /** Whether the boot fails when it cannot be loaded. */
  required: boolean;
}

export interface WantedModules {
  required: readonly string[];
  /** Loaded where the machine has the device. */
  optional: readonly string[];
}

/**
 * The wanted modules of the kernel in `modulesFolder` (a lib/modules/<release>) with all they depend on, in an order
 * in which each can be loaded. What is built into the kernel is left out; what is absent throws `image_missing`.
 */
export async function orderModules(modulesFolder: string, wanted: WantedModules): Promise<KernelModule[]> {
  const files = await moduleFiles(modulesFolder);
  const builtin = new Set(
    (await readFile(join(modulesFolder, "modules.builtin"), "utf8")).split("\n").map(moduleName),
  );
  const ordered = new Map<string, KernelModule>();
  const add = async (name: string, required: boolean): Promise<void> => {
    if (ordered.has(name) || builtin.has(name)) return;
    const file = files.get(name);
    if (file === undefined)
      throw new WrennError("image_missing", `The kernel package has no module ${name}.`);
    for (const dependency of moduleDependencies(await readFile(file))) await add(dependency, required);
    ordered.set(name, { name, file, required });
  };
  for (const name of wanted.required) await add(name, true);
  for (const name of wanted.optional) await add(name, false);
  return [...ordered.values()];
}

/** What a module needs, from the `depends=` entry that every module carries (modules.dep is made on installation). */
export function moduleDependencies(module: Buffer): string[] {
  const key = "\0depends=";
  const at = module.indexOf(key, 0, "latin1");
  if (at === -1) return [];
  const start = at + key.length;
  return module
    .toString("latin1", start, module.indexOf(0, start))
    .split(",")
    .filter((name) => name !== "");
}

async function moduleFiles(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder, { recursive: true });
  return new Map(
    entries.filter((entry) => entry.endsWith(".ko")).map((entry) => [moduleName(entry), join(folder, entry)]),
  );
}

/** The kernel knows modules with underscores only: virtio-rng.ko is virtio_rng. */
function moduleName(file: string): string {
  return basename(file, ".ko").replaceAll("-", "_");
}
