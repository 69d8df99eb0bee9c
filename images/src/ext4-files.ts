import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { fileDigest } from "./digest.ts";
import { runCommand } from "./run-command.ts";

/** A file to put into an image. */
export interface ImageFile {
  name: string;
  source: string;
}

/**
 * Writes executables of root (0755) into `folder` of an unmounted ext4 image, without a mount or root's rights, and
 * verifies contents, owner, mode and the file system. No file of these names may be there yet. `work` is a directory
 * for temporaries. Resolves to the SHA-256 of each file as written.
 */
export async function addExecutables(
  image: string,
  folder: string,
  files: readonly ImageFile[],
  work: string,
  signal?: AbortSignal,
): Promise<Map<string, string>> {
  const sources = join(work, "image-files");
  await mkdir(sources);
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(sources, { recursive: true, force: true }));

  // Copies, because a source may be rebuilt meanwhile and because debugfs takes no paths with quotes.
  for (const { name, source } of files) await copyFile(source, join(sources, name));
  const script = files.flatMap(({ name }) => [
    `write ${name} ${name}`,
    `set_inode_field ${name} mode 0100755`,
    `set_inode_field ${name} uid 0`,
    `set_inode_field ${name} gid 0`,
  ]);
  await runCommand("debugfs", ["-w", "-f", "-", image], {
    cwd: sources,
    input: [`cd ${folder}`, ...script, ""].join("\n"),
    signal,
  });

  const digests = new Map<string, string>();
  for (const { name } of files) {
    const digest = await fileDigest(join(sources, name));
    await verifyExecutable(image, `${folder}/${name}`, digest, sources, signal);
    digests.set(name, digest);
  }
  await runCommand("e2fsck", ["-f", "-n", image], { signal });
  return digests;
}

/** debugfs ends with success when a command of its script fails, so the result is what counts. */
async function verifyExecutable(
  image: string,
  path: string,
  digest: string,
  work: string,
  signal?: AbortSignal,
): Promise<void> {
  const dumped = join(work, "dumped");
  await runCommand("debugfs", ["-R", `dump ${path} dumped`, image], { cwd: work, signal });
  const facts = await runCommand("debugfs", ["-R", `stat ${path}`, image], { signal });
  const attributes = /Type: regular\s+Mode:\s+0755\b[\s\S]*?User:\s+0\s+Group:\s+0\b/.test(facts);
  const dumpedDigest = await fileDigest(dumped).catch(() => "nothing was dumped");
  if (!attributes || dumpedDigest !== digest) {
    throw new WrennError("image_missing", `The file ${path} was not written to the image as it should be.`);
  }
}
