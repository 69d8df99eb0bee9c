import { chmod, copyFile, lutimes, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { KernelModule } from "./kernel-modules.ts";
import { runCommand } from "./run-command.ts";

/** What the init script uses; each is a link to busybox. */
const applets = ["insmod", "mount", "sh", "sleep", "switch_root", "umount"];

export interface InitramfsParts {
  busybox: string;
  init: string;
  modules: readonly KernelModule[];
}

/** Writes an initramfs to `target`, the same bytes for the same parts. `folder` must not exist; it takes the tree. */
export async function buildInitramfs(
  parts: InitramfsParts,
  target: string,
  folder: string,
  signal?: AbortSignal,
): Promise<void> {
  const tree = join(folder, "tree");
  await layTree(parts, tree);
  const entries = (await readdir(tree, { recursive: true })).sort();
  for (const entry of entries) await lutimes(join(tree, entry), 0, 0);
  // busybox brings a cpio that can leave inode and device numbers out, so the host needs none.
  const archive = join(folder, "archive.cpio");
  await runCommand(
    join(tree, "bin/busybox") as `/${string}`,
    ["cpio", "-o", "-H", "newc", "-R", "0:0", "--ignore-devno", "--renumber-inodes", "-F", archive],
    { cwd: tree, input: `${entries.join("\n")}\n`, signal },
  );
  await writeFile(target, gzipSync(await readFile(archive), { level: 9 }));
}

async function layTree({ busybox, init, modules }: InitramfsParts, tree: string): Promise<void> {
  for (const name of ["bin", "dev", "modules", "root"]) {
    await mkdir(join(tree, name), { recursive: true });
    await chmod(join(tree, name), 0o755);
  }
  await copyAs(busybox, join(tree, "bin/busybox"), 0o755);
  for (const applet of applets) await symlink("busybox", join(tree, "bin", applet));
  await copyAs(init, join(tree, "init"), 0o755);
  for (const { name, file } of modules) await copyAs(file, join(tree, `modules/${name}.ko`), 0o644);
  const order = modules.map(({ name, required }) => `${required ? "required" : "optional"} ${name}\n`);
  await writeFile(join(tree, "modules/order"), order.join(""));
  await chmod(join(tree, "modules/order"), 0o644);
}

async function copyAs(source: string, target: string, mode: number): Promise<void> {
  await copyFile(source, target);
  await chmod(target, mode);
}
