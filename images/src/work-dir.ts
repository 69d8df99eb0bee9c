import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";

/**
 * Makes the directory for everything unfinished below `cache`, removed when disposed. Only the holder of the build's
 * lock may call it: what an interrupted build left there is removed first.
 */
export async function makeWorkDir(cache: string): Promise<AsyncDisposable & { path: string }> {
  const path = join(cache, "work");
  const remove = () => rm(path, { recursive: true, force: true, maxRetries: 5 });
  await remove();
  await mkdir(path, { mode: 0o700 });
  return { path, [Symbol.asyncDispose]: remove };
}
