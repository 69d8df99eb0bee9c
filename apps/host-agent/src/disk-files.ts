import { access, open, stat } from "node:fs/promises";

/** Unit of `st_blocks`: https://man7.org/linux/man-pages/man3/stat.3type.html */
const blockBytes = 512;

/** Whether there is something at a path. */
export async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Writes a new file, and waits until it is on the disk. */
export async function writeNewSynced(path: string, content: string): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  await file.writeFile(content);
  await file.sync();
}

/** Waits until what has been written to a file is on the disk. */
export async function syncFile(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}

/** Bytes that a file takes on the disk; none when it is not there. */
export async function takenBytes(path: string): Promise<number> {
  const stats = await stat(path).catch(() => undefined);
  return (stats?.blocks ?? 0) * blockBytes;
}
