import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { readProgramFile, writeFileAtomic } from "@wrenn/daemon";
import type { CliConfig } from "../config.ts";

/**
 * The guest agent's executable: the one that the configuration names, or else the one that this program carries,
 * below `$WRENN_DIR/cache`.
 */
export async function guestAgent({ wrennDir, envdBinary }: CliConfig): Promise<string> {
  if (envdBinary !== undefined) return envdBinary;
  const cache = join(wrennDir, "cache");
  await mkdir(cache, { recursive: true, mode: 0o755 });
  const path = join(cache, "envd");
  const carried = await readProgramFile("envd");
  const present = await readFile(path).catch(() => undefined);
  if (!present?.equals(carried)) await writeFileAtomic(path, carried, 0o755);
  return path;
}
