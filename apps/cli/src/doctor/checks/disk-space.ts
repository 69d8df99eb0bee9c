import { access, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Finding } from "@wrenn/contracts";
import type { CheckContext } from "../check.ts";
import { existingAncestor } from "../existing-ancestor.ts";

/** A first build of the images takes 2 GiB while it runs; a boot snapshot and PostgreSQL the rest. */
const firstStartMib = 3 * 1024;
/** A boot snapshot of the usual size, and what capsules write at first. */
const laterMib = 1024;
/** Below this a few capsules fill the disk. */
const comfortableMib = 10 * 1024;

/** Room where the data directory is, or would be made. */
export async function checkDiskSpace({ config }: Pick<CheckContext, "config">): Promise<Finding> {
  const name = "disk space";
  const dir = await existingAncestor(config.wrennDir);
  const { bavail, bsize } = await statfs(dir);
  const freeMib = Math.floor((bavail * bsize) / 2 ** 20);
  const built = await access(join(config.wrennDir, "images/minimal/rootfs.ext4")).then(
    () => true,
    () => false,
  );
  const neededMib = built ? laterMib : firstStartMib;
  const detail = `${size(freeMib)} free below ${dir}`;
  if (freeMib >= comfortableMib) return { name, status: "ok", detail };
  return {
    name,
    status: freeMib < neededMib ? "failing" : "warning",
    detail: `${detail}; ${size(freeMib < neededMib ? neededMib : comfortableMib)} are ${freeMib < neededMib ? "needed" : "comfortable"}`,
    cure: "free some, or set WRENN_DIR to a directory of a larger disk",
  };
}

function size(mib: number): string {
  return mib < 1024 ? `${mib} MiB` : `${(mib / 1024).toFixed(1)} GiB`;
}
