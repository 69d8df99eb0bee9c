import { access, mkdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { zstdDecompress } from "node:zlib";
import { listProgramFiles, readProgramFile, runCommand, syncDirectory } from "@wrenn/daemon";

/** Where a built program carries PostgreSQL, as one archive that is named by its digest. */
const carriedIn = "postgres";
const suffix = ".tar.zst";

/**
 * Unpacks the PostgreSQL that this built program carries, the first time: some 60 MiB in half a second.
 *
 * @param dir is for this alone.
 * @returns the directory with `bin/`, `lib/` and `share/`.
 */
export async function unpackPrograms(dir: string, signal?: AbortSignal): Promise<string> {
  const [archive] = await listProgramFiles(carriedIn);
  if (archive === undefined) throw new Error("this program was built without PostgreSQL");
  const read = () => readProgramFile(`${carriedIn}/${archive}`);
  return await unpackOnce(dir, basename(archive, suffix), read, signal);
}

/**
 * Unpacks an archive (tar, zstd) as `dir/name`, unless it is there. Only the holder of the cluster's lock may call it:
 * other versions, which nobody can be using then, and what an interrupted call left are removed.
 */
export async function unpackOnce(
  dir: string,
  name: string,
  read: () => Promise<Uint8Array>,
  signal?: AbortSignal,
): Promise<string> {
  const unpacked = join(dir, name);
  if (await exists(unpacked)) return unpacked;

  await rm(dir, { recursive: true, force: true });
  const unfinished = `${unpacked}.new`;
  await mkdir(unfinished, { recursive: true, mode: 0o700 });
  const input = await promisify(zstdDecompress)(await read());
  await runCommand("tar", ["--extract", "--no-same-owner", "--directory", unfinished], { input, signal });
  // Complete under its name also after a power failure: syncfs(2), which is one call for a thousand files.
  await runCommand("sync", ["--file-system", unfinished], { signal });
  await rename(unfinished, unpacked);
  await syncDirectory(dir);
  return unpacked;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
