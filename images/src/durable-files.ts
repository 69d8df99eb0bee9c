import { chmod, lstat, mkdir, open, readlink, rename, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { errnoOf, WrennError } from "@wrenn/contracts";

/** Waits until a file's contents, or a directory's entries, are on the disk. */
export async function syncToDisk(path: string): Promise<void> {
  await using handle = await open(path, "r");
  await handle.sync();
}

/** Whether anything has this name; a dangling link counts. */
export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

/**
 * Makes a directory, and those above it, that the VMM's own user can enter whatever the umask is. Directories that
 * exist are kept as they are.
 */
export async function makeDirectory(path: string): Promise<void> {
  const firstMade = await mkdir(path, { recursive: true });
  if (firstMade === undefined) return;
  for (let made = path; made.length >= firstMade.length; made = dirname(made)) await chmod(made, 0o755);
}

/** Gives a written file or directory its mode, whatever the umask was, and waits until it is on the disk. */
export async function finish(path: string, mode: number): Promise<void> {
  await chmod(path, mode);
  await syncToDisk(path);
}

/**
 * Moves a finished file or directory from the work directory to its final name. Whoever sees the final name sees
 * complete contents, after a power failure as well.
 */
export async function publish(finished: string, target: string, mode: number): Promise<void> {
  await finish(finished, mode);
  await makeDirectory(dirname(target));
  await rename(finished, target);
  await syncToDisk(dirname(target));
}

/** Writes a small file under its final name, whole or not at all. `work` is a directory for the unfinished file. */
export async function publishJson(value: unknown, target: string, work: string): Promise<void> {
  const unfinished = join(work, "unfinished.json");
  await writeFile(unfinished, `${JSON.stringify(value, null, 2)}\n`);
  await publish(unfinished, target, 0o644);
}

/**
 * Lets the symbolic link `link` point to `target`, which must exist, by a relative path. The link is replaced in one
 * step. A `link` that is not a symbolic link was put there by somebody else and is refused with `config_invalid`.
 */
export async function pointLink(link: string, target: string, work: string): Promise<void> {
  const text = relative(dirname(link), target);
  const current = await linkText(link);
  if (current === text) return;
  if (current === undefined && (await exists(link))) {
    throw new WrennError(
      "config_invalid",
      `Move ${link} away: it is not a link, and the build would overwrite it.`,
    );
  }
  const unfinished = join(work, "unfinished.link");
  await symlink(text, unfinished);
  await rename(unfinished, link);
  await syncToDisk(dirname(link));
}

/** The text of a symbolic link, undefined when there is none of this name. */
export async function linkText(link: string): Promise<string | undefined> {
  try {
    return await readlink(link);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "EINVAL") return undefined;
    throw error;
  }
}
