import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { openApt } from "./apt-download.ts";
import { guestSources } from "./apt-sources.ts";
import type { BuildContext } from "./build-context.ts";
import { combinedDigest } from "./digest.ts";
import { exists, publish, publishJson } from "./durable-files.ts";
import { placeGuestFile, readGuestFile } from "./guest-files.ts";
import { buildInitramfs } from "./initramfs.ts";
import { orderModules, type WantedModules } from "./kernel-modules.ts";
import { extractKernel } from "./kernel-payload.ts";

export interface KernelPaths {
  kernel: string;
  initramfs: string;
}

/** kernels/manifest.json: which pair this build made, and from what. */
interface KernelManifest {
  version: string;
  /** Debian's package and version, for people. */
  source: string;
  recipe: string;
}

const kernelPackage = "linux-image-cloud-amd64";

/** Drivers for the devices a VMM gives, and the socket interface that closes connections after a restore. */
const wantedModules: WantedModules = {
  required: ["virtio_mmio", "virtio_blk", "virtio_net", "virtio_rng", "inet_diag", "tcp_diag"],
  // The host's clock as /dev/ptp0; it loads under KVM only.
  optional: ["ptp_kvm"],
};

/** The kernel and initramfs that an earlier build made from the present recipe, undefined when there are none. */
export async function currentKernel(wrennDir: string): Promise<KernelPaths | undefined> {
  const manifestFile = join(wrennDir, "kernels/manifest.json");
  if (!(await exists(manifestFile))) return undefined;
  const manifest = JSON.parse(await readFile(manifestFile, "utf8")) as KernelManifest;
  if (manifest.recipe !== (await kernelRecipe())) return undefined;
  const paths = kernelPaths(wrennDir, manifest.version);
  return (await exists(paths.kernel)) && (await exists(paths.initramfs)) ? paths : undefined;
}

/** Makes the kernel and the initramfs from Debian's packages. */
export async function buildKernel({ wrennDir, work, signal, progress }: BuildContext): Promise<KernelPaths> {
  const tree = join(work, "kernel-packages");
  const packaged = await progress.step("kernel packages", async () => {
    const apt = await openApt(await guestSources(), join(work, "apt"), signal);
    const found = await concretePackage(await apt.show(kernelPackage));
    await apt.unpack([found.name, "busybox-static"], tree);
    return found;
  });
  const vmlinux = join(work, "vmlinux");
  await progress.step("kernel", () =>
    extractKernel(
      join(tree, "boot", `vmlinuz-${packaged.release}`),
      vmlinux,
      join(work, "vmlinux.lz4"),
      signal,
    ),
  );
  const initramfs = join(work, "initramfs.cpio.gz");
  await progress.step("initramfs", async () => {
    const modules = await orderModules(join(tree, "lib/modules", packaged.release), wantedModules);
    const init = join(work, "initramfs-init");
    await placeGuestFile("initramfs-init", init);
    const parts = { busybox: join(tree, "bin/busybox"), init, modules };
    await buildInitramfs(parts, initramfs, join(work, "initramfs"), signal);
  });

  const paths = kernelPaths(wrennDir, packaged.version);
  const manifestFile = join(wrennDir, "kernels/manifest.json");
  // Kernel and modules fit only each other. Without the manifest the pair counts as absent, so a stop between the
  // two renames is repaired by the next build.
  await rm(manifestFile, { force: true });
  await publish(vmlinux, paths.kernel, 0o644);
  await publish(initramfs, paths.initramfs, 0o644);
  const { version, name, debianVersion } = packaged;
  const manifest: KernelManifest = {
    version,
    source: `${name} ${debianVersion}`,
    recipe: await kernelRecipe(),
  };
  await publishJson(manifest, manifestFile, work);
  return paths;
}

interface ConcretePackage {
  name: string;
  /** The kernel's own name for itself, such as 6.1.0-44-cloud-amd64. */
  release: string;
  debianVersion: string;
  /** Three numbers, such as 6.1.164. */
  version: string;
}

/** The versioned package behind the one that always means the newest kernel. */
async function concretePackage(fields: Map<string, string>): Promise<ConcretePackage> {
  const name = /^linux-image-\S+/.exec(fields.get("depends") ?? "")?.[0];
  const debianVersion = fields.get("version") ?? "";
  const version = /^(?:\d+:)?(\d+\.\d+\.\d+)/.exec(debianVersion)?.[1];
  if (name === undefined || version === undefined) {
    throw new WrennError("image_missing", `The package ${kernelPackage} of the mirror names no kernel.`);
  }
  return { name, release: name.replace("linux-image-", ""), debianVersion, version };
}

function kernelPaths(wrennDir: string, version: string): KernelPaths {
  return {
    kernel: join(wrennDir, `kernels/vmlinux-${version}`),
    initramfs: join(wrennDir, `kernels/initramfs-${version}.cpio.gz`),
  };
}

/** What decides which pair is made; a newer package in the archive alone does not. */
export async function kernelRecipe(): Promise<string> {
  const recipeVersion = "1";
  return combinedDigest([
    recipeVersion,
    JSON.stringify(wantedModules),
    await readGuestFile("initramfs-init"),
  ]);
}
