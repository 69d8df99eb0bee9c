import { access, constants } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";

/** Every host tool the build runs, with the Debian package that brings it. */
const packageOf = {
  "apt-cache": "apt",
  "apt-get": "apt",
  cat: "coreutils",
  cp: "coreutils",
  debugfs: "e2fsprogs",
  "dpkg-deb": "dpkg",
  e2fsck: "e2fsprogs",
  flock: "util-linux",
  lz4: "lz4",
  mmdebstrap: "mmdebstrap",
  "mkfs.ext4": "e2fsprogs",
  setpriv: "util-linux",
  unshare: "util-linux",
} as const;

export type Tool = keyof typeof packageOf;

/** The PATH for tools: file system tools are in sbin, which is not on every user's path. */
export function toolPath(): string {
  return `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;
}

/** Throws `image_missing` with the packages to install, all of them at once, unless every tool is there. */
export async function requireTools(tools: readonly Tool[]): Promise<void> {
  const missing: string[] = [];
  for (const tool of tools) if (!(await isInstalled(tool))) missing.push(tool);
  if (missing.length > 0) throw toolsMissing(missing);
}

/** The error for programs that are not there. */
export function toolsMissing(programs: readonly string[], cause?: unknown): WrennError {
  const packages = new Set(
    programs.filter((name) => name in packageOf).map((name) => packageOf[name as Tool]),
  );
  const noun = packages.size === 1 ? "package" : "packages";
  const hint = packages.size === 0 ? "" : `; install the Debian ${noun} ${[...packages].join(" and ")}`;
  const message = `The images cannot be built without ${programs.join(", ")}${hint}.`;
  return new WrennError("image_missing", message, { cause });
}

async function isInstalled(tool: Tool): Promise<boolean> {
  for (const folder of toolPath().split(":")) {
    const found = await access(join(folder || ".", tool), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}
