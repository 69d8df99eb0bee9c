import { readCliConfig } from "../config.ts";
import { buildImages } from "../platform/platform.ts";
import { Progress } from "../progress.ts";

/** `wrenn images`: kernel, initramfs and root file system, where absent or outdated. */
export async function images(): Promise<number> {
  const config = readCliConfig(process.env);
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  await buildImages(config, new Progress(), interrupted.signal);
  return 0;
}
