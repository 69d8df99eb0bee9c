import { mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { ensureImages } from "@wrenn/images";
import type { CliConfig } from "../config.ts";
import type { Progress } from "../progress.ts";
import { guestAgent } from "./guest-agent.ts";
import { readOwner } from "./owner.ts";
import { SupervisedPostgres } from "./supervised-postgres.ts";
import { SupervisedProcess } from "./supervised-process.ts";

/** The whole platform on one machine: PostgreSQL, control plane and agent, each a process of its own. */
export interface Platform extends AsyncDisposable {
  /** Base URL of the API. */
  readonly url: string;
  readonly apiKey: string;
  readonly logDir: string;
}

/** Starts the platform, making what is absent. On failure nothing of it runs on. */
export async function startPlatform(
  config: CliConfig,
  progress: Progress,
  signal: AbortSignal,
): Promise<Platform> {
  if (process.getuid?.() !== 0) {
    throw new WrennError("config_invalid", "wrenn needs root for network namespaces; run it as root");
  }
  await mkdir(config.wrennDir, { recursive: true });
  const wrennDir = await realpath(config.wrennDir);
  const envdBinary = await buildImages({ ...config, wrennDir }, progress, signal);

  await using stack = new AsyncDisposableStack();
  const logDir = join(wrennDir, "logs");
  const logger = makeLogger("wrenn", "warn");
  const databaseUrl =
    config.databaseUrl ??
    (await progress.step("PostgreSQL", async () => {
      const postgres = await SupervisedPostgres.start(join(wrennDir, "postgres"), logger, signal);
      return stack.use(postgres).databaseUrl;
    }));

  const onRestart = (name: string, how: string) => progress.note(`${name} ${how}; restarting it`);
  const common = { ...process.env, WRENN_DIR: wrennDir, WRENN_ENVD_BIN: envdBinary };
  const agent = await progress.step("host agent", async () =>
    stack.use(
      await SupervisedProcess.start(
        {
          name: "wrenn-agent",
          logDir,
          drain: true,
          environment: (previous) => withAddress(common, "WRENN_HOST_LISTEN_ADDR", previous),
          onRestart,
        },
        signal,
      ),
    ),
  );
  const controlPlane = await progress.step("control plane", async () =>
    stack.use(
      await SupervisedProcess.start(
        {
          name: "wrenn-cp",
          logDir,
          environment: (previous) =>
            withAddress(
              { ...common, DATABASE_URL: databaseUrl, CP_HOST_AGENT_ADDR: agent.url },
              "WRENN_CP_LISTEN_ADDR",
              previous,
            ),
          onRestart,
        },
        signal,
      ),
    ),
  );
  const { apiKey } = await readOwner(wrennDir);
  const started = stack.move();
  return { url: controlPlane.url, apiKey, logDir, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

/** Makes kernel and root file system if absent or outdated. @returns the guest agent that is in them. */
export async function buildImages(
  config: CliConfig,
  progress: Progress,
  signal: AbortSignal,
): Promise<string> {
  const envdBinary = await guestAgent(config);
  await ensureImages({
    wrennDir: config.wrennDir,
    envdBinary,
    signal,
    onProgress: (step, state, elapsedMs) => {
      if (state === "start") progress.started(step);
      if (state === "done") progress.done(step, elapsedMs);
    },
  });
  return envdBinary;
}

/** A restarted daemon serves where its clients know it to be, also when the kernel chose the port at first. */
function withAddress(
  env: NodeJS.ProcessEnv,
  variable: string,
  previousUrl: string | undefined,
): NodeJS.ProcessEnv {
  const configured = env[variable];
  if (previousUrl === undefined || !configured?.endsWith(":0")) return env;
  return { ...env, [variable]: `${configured.slice(0, -1)}${new URL(previousUrl).port}` };
}
