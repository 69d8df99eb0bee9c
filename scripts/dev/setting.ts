import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

export const root = resolve(import.meta.dirname, "../..");

export interface Setting {
  /** Environment of every program of this development platform. */
  readonly env: NodeJS.ProcessEnv;
  readonly wrennDir: string;
  /** Base URL of the control plane. */
  readonly url: string;
}

/**
 * Where development happens: a data directory in the repository, unless the environment or `.env` names another, so
 * that it does not touch the platform that `make run` has on this machine.
 */
export function readSetting(): Setting {
  const file = join(root, ".env");
  if (existsSync(file)) process.loadEnvFile(file);
  const wrennDir = process.env.WRENN_DIR || join(root, ".cache/dev");
  const port = /:(\d+)$/.exec(process.env.WRENN_CP_LISTEN_ADDR ?? "")?.[1] ?? "8000";
  const url = process.env.WRENN_CP_URL || `http://127.0.0.1:${port}`;
  return { env: { ...process.env, WRENN_DIR: wrennDir, WRENN_CP_URL: url }, wrennDir, url };
}

/** Tells the developer something, apart from what the programs write. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
