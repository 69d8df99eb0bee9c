import { open, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { guestRelease, guestSources } from "./apt-sources.ts";
import type { BuildContext } from "./build-context.ts";
import { combinedDigest, shortDigest } from "./digest.ts";
import { exists, publish } from "./durable-files.ts";
import { placeGuestFile, readGuestFile } from "./guest-files.ts";
import { runCommand } from "./run-command.ts";

const gib = 1024 ** 3;

/** The size of a capsule's disk as the guest sees it. The file is sparse and takes what is in it. */
const diskSizeBytes = 5 * gib;

const packages = [
  "bash",
  "ca-certificates",
  "chrony",
  "curl",
  // resize2fs, for capsules with a larger disk.
  "e2fsprogs",
  "git",
  "iproute2",
  "procps",
  "socat",
  "sudo",
  "wget",
];

/** Left out by dpkg, in the capsule as well; licences stay. */
const withoutDocumentation = [
  "path-exclude=/usr/share/doc/*",
  "path-include=/usr/share/doc/*/copyright",
  "path-exclude=/usr/share/info/*",
  "path-exclude=/usr/share/locale/*",
  "path-exclude=/usr/share/man/*",
];

const mkfsOptions = [
  ["-L", "wrenn-root"],
  // Nobody but root writes to a capsule's disk in a way that the reserve would help against.
  ["-m", "0"],
  // Features on which releases of e2fsprogs differ, so that the host's does not show.
  ["-O", "^orphan_file,^metadata_csum_seed"],
  ["-J", "size=32"],
  // The file is new and reads as zeroes. Everything counts as initialised, so the guest's kernel writes nothing in
  // the background after the first mount.
  ["-E", "assume_storage_prezeroed=1,lazy_itable_init=0,lazy_journal_init=0"],
].flat();

/** What decides the contents of the base image. The mirror is not part of it: all mirrors have the same packages. */
export async function baseRecipe(): Promise<string> {
  const recipeVersion = "1";
  const data = [guestRelease, diskSizeBytes, packages, withoutDocumentation, mkfsOptions];
  return combinedDigest([recipeVersion, JSON.stringify(data), await readGuestFile("customize-base")]);
}

/** Where the base file system of a recipe is cached. */
export function baseFile(wrennDir: string, recipe: string): string {
  return join(wrennDir, `cache/rootfs-base-${shortDigest(recipe)}.ext4`);
}

/** Resolves to the cached base file system of the recipe, after building it when it is absent. */
export async function ensureBase(context: BuildContext, recipe: string): Promise<string> {
  const { wrennDir, work, progress } = context;
  const target = baseFile(wrennDir, recipe);
  if (await exists(target)) {
    progress.cached("base packages");
    progress.cached("base file system");
    return target;
  }
  if (process.getuid?.() !== 0) {
    throw new WrennError(
      "image_missing",
      "Building the base image needs root, because it holds files of many owners.",
    );
  }
  const tree = join(work, "base-tree");
  const image = join(work, "base.ext4");
  await progress.step("base packages", () => bootstrap(tree, context));
  await progress.step("base file system", async () => {
    await makeSparse(image, diskSizeBytes);
    await runCommand("mkfs.ext4", ["-q", "-F", ...mkfsOptions, "-d", tree, image], context);
    await publish(image, target, 0o644);
  });
  // Images are copies of a base and do not need it: earlier ones only take space.
  for (const other of await readdir(dirname(target))) {
    if (other.startsWith("rootfs-base-") && other !== basename(target))
      await rm(join(dirname(target), other));
  }
  return target;
}

async function bootstrap(tree: string, { work, signal }: BuildContext): Promise<void> {
  const customize = join(work, "customize-base");
  await placeGuestFile("customize-base", customize);
  const arguments_ = [
    "--quiet",
    "--variant=minbase",
    "--mode=root",
    "--architectures=amd64",
    `--include=${packages.join(",")}`,
    // apt's own user cannot enter a folder below a private directory.
    '--aptopt=APT::Sandbox::User "root"',
    '--aptopt=Acquire::Languages "none"',
    ...withoutDocumentation.map((option) => `--dpkgopt=${option}`),
    `--customize-hook=${customize}`,
    guestRelease,
    tree,
    "-",
  ];
  // Its mounts and processes live in namespaces of their own and end with it, and it ends with this process: what
  // an interrupted build leaves is an ordinary directory that can be removed.
  const contained = [
    "--pdeathsig",
    "KILL",
    "unshare",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "mmdebstrap",
  ];
  await runCommand("setpriv", [...contained, ...arguments_], { input: await guestSources(), signal });
}

async function makeSparse(file: string, sizeBytes: number): Promise<void> {
  await using handle = await open(file, "wx");
  await handle.truncate(sizeBytes);
}
