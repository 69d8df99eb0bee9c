import { readdir, readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { getAsset, getAssetKeys, isSea } from "node:sea";

/**
 * The files that come with our programs: migrations, scripts for images, PostgreSQL. They are named by their path in
 * the repository. A program that `make build` made carries them inside itself (`scripts/build/programs.ts` says
 * which); from source they are where they are.
 */

/** Whether this is one of the executables that `make build` makes, which stands alone. */
export const isBuiltProgram: boolean = isSea();

/** Reads a file that comes with this program. */
export async function readProgramFile(path: string): Promise<Buffer> {
  return isBuiltProgram ? Buffer.from(getAsset(path)) : await readFile(sourcePath(path));
}

/** The names of the files directly in a directory that comes with this program, in order. */
export async function listProgramFiles(dir: string): Promise<string[]> {
  const names = isBuiltProgram ? carriedIn(dir) : await readdir(sourcePath(dir));
  return names.sort();
}

function carriedIn(dir: string): string[] {
  const below = getAssetKeys().filter((key) => key.startsWith(`${dir}/`));
  return below.map((key) => key.slice(dir.length + 1)).filter((name) => !name.includes("/"));
}

function sourcePath(path: string): string {
  return resolve(import.meta.dirname, "../../..", path);
}
