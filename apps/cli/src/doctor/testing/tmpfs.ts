import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "@wrenn/daemon";

/** A file system of that many MiB, which shares no blocks between files. It takes root. */
export async function mountTmpfs(stack: AsyncDisposableStack, sizeMib: number): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "wrenn-doctor-"));
  stack.defer(() => rm(dir, { recursive: true }));
  await runCommand("mount", ["-t", "tmpfs", "-o", `size=${sizeMib}m`, "wrenn-test", dir]);
  stack.defer(async () => void (await runCommand("umount", [dir])));
  return dir;
}
