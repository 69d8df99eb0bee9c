import { join, resolve } from "node:path";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { baseFile, baseRecipe, ensureBase } from "./base-image.ts";
import { type BuildContext, type OnProgress, Progress } from "./build-context.ts";
import { explainFailure, requireFreeSpace } from "./disk-space.ts";
import { exists, makeDirectory } from "./durable-files.ts";
import { lockFile } from "./image-lock.ts";
import { buildKernel, currentKernel, type KernelPaths } from "./kernel.ts";
import {
  ensureImage,
  type ImageInputs,
  imageInputs,
  imageVersion,
  isCurrentImage,
  versionRootfs,
} from "./minimal-image.ts";
import { requireTools, type Tool } from "./tools.ts";
import { makeWorkDir } from "./work-dir.ts";

/**
 * Absolute paths. A root file system never changes. A kernel and its initramfs are replaced together when their recipe
 * changed and Debian's kernel still has the same upstream version.
 */
export interface ImagePaths {
  kernel: string;
  initramfs: string;
  /** The versioned file that images/minimal/rootfs.ext4 leads to. */
  rootfs: string;
}

export interface BuildImagesOptions {
  /** The host agent's folder, $WRENN_DIR. */
  wrennDir: string;
  /** The guest agent, a static executable for x86-64. */
  envdBinary: string;
  signal?: AbortSignal;
  onProgress: OnProgress;
}

/** What a first build takes while it runs, measured at about 1 GiB, and what a new version of the image takes. */
const firstBuildBytes = 2 * 1024 ** 3;
const updateBytes = 512 * 1024 ** 2;

// Asked for before anything is downloaded.
const kernelTools: Tool[] = ["apt-get", "apt-cache", "dpkg-deb", "lz4"];
const baseTools: Tool[] = ["mmdebstrap", "mkfs.ext4", "setpriv", "unshare"];
const updateTools: Tool[] = ["cp", "debugfs", "e2fsck"];

/**
 * Makes the kernel, the initramfs and the `minimal` image under `wrennDir`, as far as they are absent or made from
 * other inputs. Calls may run at the same time, in other processes too: one builds, the others wait. Throws
 * `image_missing`, `host_disk_full` or `config_invalid` with a sentence for the operator; the next call starts anew.
 */
export async function ensureImages(options: BuildImagesOptions): Promise<ImagePaths> {
  const { signal, envdBinary } = options;
  const wrennDir = resolve(options.wrennDir);
  const progress = new Progress(options.onProgress);
  try {
    const recipe = await baseRecipe();
    const inputs = await imageInputs(recipe, envdBinary);
    const current = await findCurrent(wrennDir, inputs);
    if (current !== undefined) {
      for (const step of ["kernel", "minimal image"]) progress.cached(step);
      return current;
    }
    const cache = join(wrennDir, "cache");
    await makeDirectory(cache);
    await using _lock = await lockFile(join(cache, "images.lock"), signal);
    await using workDir = await makeWorkDir(cache);
    const context: BuildContext = { wrennDir, work: workDir.path, signal, progress };
    try {
      return await buildMissing(context, inputs, envdBinary);
    } catch (error) {
      signal?.throwIfAborted();
      throw await explainFailure(error, cache);
    }
  } catch (error) {
    throw asWrennError(error, wrennDir, signal);
  }
}

async function findCurrent(wrennDir: string, inputs: ImageInputs): Promise<ImagePaths | undefined> {
  const version = imageVersion(inputs);
  if (!(await isCurrentImage(wrennDir, version))) return undefined;
  const kernel = await currentKernel(wrennDir);
  return kernel && { ...kernel, rootfs: versionRootfs(wrennDir, version) };
}

async function buildMissing(
  context: BuildContext,
  inputs: ImageInputs,
  envdBinary: string,
): Promise<ImagePaths> {
  const { wrennDir, work, progress } = context;
  const hasBase = await exists(baseFile(wrennDir, inputs.baseDigest));
  const builtKernel = await currentKernel(wrennDir);
  await requireTools([...(builtKernel ? [] : kernelTools), ...(hasBase ? [] : baseTools), ...updateTools]);
  await requireFreeSpace(work, hasBase ? updateBytes : firstBuildBytes);
  const kernel = await ensureKernel(context, builtKernel, progress);
  const base = () => ensureBase(context, inputs.baseDigest);
  return { ...kernel, rootfs: await ensureImage(context, inputs, base, envdBinary) };
}

async function ensureKernel(
  context: BuildContext,
  current: KernelPaths | undefined,
  progress: Progress,
): Promise<KernelPaths> {
  if (current === undefined) return buildKernel(context);
  progress.cached("kernel");
  return current;
}

/** Errors of the file system get a sentence; an abort stays what the caller made it. */
function asWrennError(error: unknown, wrennDir: string, signal: AbortSignal | undefined): unknown {
  const errno = errnoOf(error);
  if (error instanceof WrennError || signal?.aborted || errno === undefined) return error;
  return new WrennError("image_missing", `The images cannot be made in ${wrennDir} (${errno}).`, {
    cause: error,
  });
}
