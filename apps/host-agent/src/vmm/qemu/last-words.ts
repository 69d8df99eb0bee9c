import { type FileHandle, open } from "node:fs/promises";

const maxBytes = 4096;

/** The end of a log file, as text. An absent file has said nothing. */
export async function lastWords(path: string): Promise<string> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch {
    return "";
  }
  await using _ = file;
  const { size } = await file.stat();
  const length = Math.min(size, maxBytes);
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
  return buffer.toString("utf8").trim();
}
