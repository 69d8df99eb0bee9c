import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import type { BuildContext } from "./build-context.ts";
import { combinedDigest, fileDigest, shortDigest, textDigest } from "./digest.ts";
import { exists, finish, linkText, makeDirectory, pointLink, publish } from "./durable-files.ts";
import { addExecutables } from "./ext4-files.ts";
import { placeGuestFile, readGuestFile } from "./guest-files.ts";
import { runCommand } from "./run-command.ts";

/** images/minimal/versions/<version>/manifest.json. Digests are SHA-256 in hex. */
export interface ImageManifest {
  version: string;
  /** Of the base's recipe, see base-image.ts. */
  baseDigest: string;
  envdDigest: string;
  initDigest: string;
  /** RFC 3339. */
  builtAt: string;
  /** Of the guest's disk; the file is sparse. */
  sizeBytes: number;
}

/** What an image is made of; the version says nothing else. */
export interface ImageInputs {
  baseDigest: string;
  envdDigest: string;
  initDigest: string;
}

/** Reads the inputs other than the base. */
export async function imageInputs(baseDigest: string, envdBinary: string): Promise<ImageInputs> {
  if (!(await exists(envdBinary))) {
    throw new WrennError("image_missing", `The guest agent ${envdBinary} does not exist; build envd first.`);
  }
  const initDigest = textDigest(await readGuestFile("wrenn-init"));
  return { baseDigest, envdDigest: await fileDigest(envdBinary), initDigest };
}

/** The version of the image that has these inputs. */
export function imageVersion({ baseDigest, envdDigest, initDigest }: ImageInputs): string {
  return shortDigest(combinedDigest([baseDigest, envdDigest, initDigest]));
}

/** The root file system of a version. Capsules stand on it, so it never changes. */
export function versionRootfs(wrennDir: string, version: string): string {
  return join(wrennDir, "images/minimal/versions", version, "rootfs.ext4");
}

/** The name that always leads to the newest version. */
function imageLink(wrennDir: string): string {
  return join(wrennDir, "images/minimal/rootfs.ext4");
}

/** Whether images/minimal/rootfs.ext4 leads to the version, and the version is there. */
export async function isCurrentImage(wrennDir: string, version: string): Promise<boolean> {
  const points = (await linkText(imageLink(wrennDir))) === join("versions", version, "rootfs.ext4");
  return points && (await exists(versionRootfs(wrennDir, version)));
}

/**
 * Makes the version that consists of the base file system `base` and the inputs, unless it is there from earlier, and
 * lets images/minimal/rootfs.ext4 lead to it. Other versions stay as they are.
 */
export async function ensureImage(
  context: BuildContext,
  inputs: ImageInputs,
  base: () => Promise<string>,
  envdBinary: string,
): Promise<string> {
  const { wrennDir, work, progress } = context;
  const rootfs = versionRootfs(wrennDir, imageVersion(inputs));
  if (await exists(rootfs)) progress.cached("minimal image");
  else {
    const baseImage = await base();
    await progress.step("minimal image", () => buildVersion(context, inputs, baseImage, envdBinary));
  }
  await makeDirectory(join(wrennDir, "images/minimal"));
  await pointLink(imageLink(wrennDir), rootfs, work);
  return rootfs;
}

async function buildVersion(
  { wrennDir, work, signal }: BuildContext,
  inputs: ImageInputs,
  base: string,
  envdBinary: string,
): Promise<void> {
  const folder = join(work, "version");
  await mkdir(folder);
  const rootfs = join(folder, "rootfs.ext4");
  await runCommand("cp", ["--reflink=auto", "--sparse=always", base, rootfs], { signal });
  const init = join(work, "wrenn-init");
  await placeGuestFile("wrenn-init", init);
  const files = [
    { name: "envd", source: envdBinary },
    { name: "wrenn-init", source: init },
  ];
  const written = await addExecutables(rootfs, "/usr/local/bin", files, work, signal);
  if (written.get("envd") !== inputs.envdDigest || written.get("wrenn-init") !== inputs.initDigest) {
    throw new WrennError(
      "image_missing",
      "The guest agent was rebuilt while its image was made; run the build again.",
    );
  }
  const version = imageVersion(inputs);
  const { size } = await stat(rootfs);
  const manifest: ImageManifest = { version, ...inputs, builtAt: new Date().toISOString(), sizeBytes: size };
  await writeFile(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  // Read-only for everybody: the VMM of a capsule has a layer of its own to write to.
  for (const name of ["rootfs.ext4", "manifest.json"]) await finish(join(folder, name), 0o444);
  await publish(folder, join(wrennDir, "images/minimal/versions", version), 0o755);
}
