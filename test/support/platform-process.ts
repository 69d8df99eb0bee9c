import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";

export const repository = resolve(import.meta.dirname, "../..");
/** Entry point of the CLI. */
export const cliPath = join(repository, "apps/cli/src/main.ts");

/** Images are made once for all suites, and again only when they are outdated. */
export const sharedImages = join(repository, ".cache/test-images");

export interface PlatformAddress {
  readonly url: string;
  readonly apiKey: string;
  readonly wrennDir: string;
}

/**
 * A data directory of its own below a 0700 directory, with the shared images in it.
 *
 * @param prepare runs when the directory is still empty.
 */
export async function makeWrennDir(
  stack: AsyncDisposableStack,
  prepare: (dir: string) => Promise<void> = async () => {},
): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), "wrenn-test-"));
  stack.defer(() => rm(parent, { recursive: true, force: true }));
  const wrennDir = join(parent, "wrenn");
  await mkdir(wrennDir);
  await prepare(wrennDir);
  for (const name of ["kernels", "images", "cache"]) {
    await mkdir(join(sharedImages, name), { recursive: true });
    await symlink(join(sharedImages, name), join(wrennDir, name));
  }
  return wrennDir;
}

/** Environment of a platform that listens on ports of the kernel's choice. */
export function platformEnvironment(wrennDir: string, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return {
    ...process.env,
    WRENN_DIR: wrennDir,
    WRENN_CP_LISTEN_ADDR: "127.0.0.1:0",
    WRENN_HOST_LISTEN_ADDR: "127.0.0.1:0",
    WRENN_HOST_METRICS_ADDR: "127.0.0.1:0",
    WRENN_ENVD_BIN: builtEnvd(),
    DATABASE_URL: "",
    // What is on the host is what was asked for.
    WRENN_POOL_SIZE: "0",
    ...extra,
  };
}

/** Starts a program of the CLI in a process group of its own, as a terminal would. */
export function startCli(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  stderr: "inherit" | "pipe" = "inherit",
): ChildProcess {
  return spawn(process.execPath, [cliPath, ...args], {
    cwd: repository,
    env,
    stdio: ["ignore", "pipe", stderr],
  });
}

/** `wrenn up` on a new data directory. */
export async function startPlatform(
  stack: AsyncDisposableStack,
  extra: NodeJS.ProcessEnv = {},
): Promise<PlatformAddress & { pid: number }> {
  return await startPlatformOn(await makeWrennDir(stack), stack, extra);
}

/** `wrenn up` as an operator runs it; ended by Ctrl-C when the stack is disposed of. */
export async function startPlatformOn(
  wrennDir: string,
  stack: AsyncDisposableStack,
  extra: NodeJS.ProcessEnv = {},
): Promise<PlatformAddress & { pid: number }> {
  const child = startCli(["up"], platformEnvironment(wrennDir, extra));
  const exited = once(child, "exit");
  stack.defer(async () => {
    child.kill("SIGINT");
    const [code] = await exited;
    if (code !== 0) throw new Error(`wrenn up ended with code ${code} after Ctrl-C`);
  });
  const gone = exited.then(([code]) => {
    throw new Error(`wrenn up ended with code ${code} before it served`);
  });
  const url = await Promise.race([servedUrl(child), gone]);
  const owner = JSON.parse(await readFile(join(wrennDir, "owner.json"), "utf8"));
  if (child.pid === undefined) throw new Error("wrenn up has no pid");
  return { url, apiKey: owner.api_key, wrennDir, pid: child.pid };
}

/** The URL that `wrenn up` prints, which it does last. */
async function servedUrl(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new Error("stdout is not piped");
  let url: string | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    url = /API\s+(http\S+)/.exec(line)?.[1] ?? url;
    if (url && /Stop\s+Ctrl-C/.test(line)) break;
  }
  child.stdout.resume();
  if (!url) throw new Error("wrenn up printed no URL");
  return url;
}

/** The guest agent that `make envd` builds. */
export function builtEnvd(): string {
  const arch = process.arch === "arm64" ? "aarch64" : "x86_64";
  return join(repository, `envd/target/${arch}-unknown-linux-gnu/release/envd`);
}
