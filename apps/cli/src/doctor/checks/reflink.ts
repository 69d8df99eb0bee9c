import { constants, copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, type Finding } from "@wrenn/contracts";
import type { CheckContext } from "../check.ts";
import { existingAncestor } from "../existing-ancestor.ts";

/** More than file systems keep inside an inode, where there is nothing to share. */
const probeBytes = 64 * 1024;

/** Whether the file system shares blocks between copies (ioctl_ficlone(2)), tried with a real file. */
export async function checkReflink({ config }: Pick<CheckContext, "config">): Promise<Finding> {
  const name = "reflink";
  const dir = await existingAncestor(config.wrennDir);
  await using stack = new AsyncDisposableStack();
  let original: string;
  try {
    const probe = await mkdtemp(join(dir, ".wrenn-doctor-"));
    stack.defer(() => rm(probe, { recursive: true, force: true }));
    original = join(probe, "original");
    await writeFile(original, Buffer.alloc(probeBytes, 1));
  } catch (error) {
    const detail = `could not be tried: nothing can be written below ${dir} (${errnoOf(error)})`;
    return { name, status: "warning", detail, cure: "run as the user who runs the platform" };
  }
  try {
    await copyFile(original, `${original}-copy`, constants.COPYFILE_FICLONE_FORCE);
    return { name, status: "ok", detail: `copies below ${dir} share their blocks` };
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return {
      name,
      status: "warning",
      detail: `the file system of ${dir} copies every byte; what copies memory or disks takes longer, and more room`,
      cure: "put WRENN_DIR on XFS (made with reflink=1) or btrfs",
    };
  }
}
