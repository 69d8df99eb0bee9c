import { type FileHandle, mkdir, open, rename, stat } from "node:fs/promises";
import { join } from "node:path";

const rotateBytes = 10 * 1024 * 1024;
const tailBytes = 16 * 1024;

/** Opens a daemon's log for appending; a long one becomes `<name>.log.1` first. */
export async function openLog(dir: string, name: string): Promise<{ path: string; file: FileHandle }> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, `${name}.log`);
  const size = await stat(path).then(
    (info) => info.size,
    () => 0,
  );
  if (size > rotateBytes) await rename(path, `${path}.1`);
  return { path, file: await open(path, "a", 0o600) };
}

/** The sentence with which a daemon refused to go on: its last line that begins with `error: `. */
export async function lastError(path: string): Promise<string | undefined> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const length = Math.min(size, tailBytes);
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
  const lines = buffer.toString("utf8").split("\n");
  return lines.findLast((line) => line.startsWith("error: "))?.slice("error: ".length);
}
