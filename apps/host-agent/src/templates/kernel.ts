import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";

export interface Kernel {
  /** Name of the file, which names the version. */
  readonly name: string;
  readonly kernelPath: string;
  readonly initramfsPath: string;
}

/**
 * The newest kernel by semver, `vmlinux-<version>` with `initramfs-<version>.cpio.gz` beside it; a plain `vmlinux`
 * with `initramfs.cpio.gz` when there is no other.
 */
export async function findKernel(dir: string): Promise<Kernel> {
  const names = await readdir(dir).catch(() => []);
  const versioned = names.filter((name) => /^vmlinux-\d+\.\d+\.\d+/.test(name)).sort(bySemver);
  const name = versioned.at(-1) ?? names.find((candidate) => candidate === "vmlinux");
  if (!name) throw new WrennError("image_missing", `there is no kernel in ${dir}; run \`make images\``);
  const initramfsPath = join(dir, `${name.replace("vmlinux", "initramfs")}.cpio.gz`);
  await access(initramfsPath).catch((cause: unknown) => {
    throw new WrennError("image_missing", `${initramfsPath} is missing; run \`make images\``, { cause });
  });
  return { name, kernelPath: join(dir, name), initramfsPath };
}

/** Orders by the numbers of a version; a pre-release (`6.1.0-rc1`) comes before its release (semver.org §11). */
export function bySemver(a: string, b: string): number {
  const [left, right] = [parts(a), parts(b)];
  for (const [i, number] of left.numbers.entries()) {
    const difference = number - (right.numbers[i] ?? 0);
    if (difference !== 0) return difference;
  }
  if (left.rest === right.rest) return 0;
  if (left.rest === "") return 1;
  if (right.rest === "") return -1;
  return left.rest < right.rest ? -1 : 1;
}

function parts(name: string): { numbers: number[]; rest: string } {
  const match = /(\d+)\.(\d+)\.(\d+)(?:[-+](.*))?$/.exec(name);
  return { numbers: (match?.slice(1, 4) ?? []).map(Number), rest: match?.[4] ?? "" };
}
