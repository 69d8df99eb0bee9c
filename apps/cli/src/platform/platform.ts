import { mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import { type ListenAddress, makeLogger } from "@wrenn/daemon";
import { ensureImages } from "@wrenn/images";
import type { CliConfig } from "../config.ts";
import type { Progress } from "../progress.ts";
import { guestAgent } from "./guest-agent.ts";
import { registrationToken } from "./host-registration.ts";
import { ownerFileOf, readOwner } from "./owner.ts";
import { SupervisedPostgres } from "./supervised-postgres.ts";
import { type SupervisedOptions, SupervisedProcess } from "./supervised-process.ts";

/** The whole platform on one machine: PostgreSQL, control plane and agent, each a process of its own. */
export interface Platform extends AsyncDisposable {
  /** Base URL of the API. */
  readonly url: string;
  readonly apiKey: string;
  /** The owner's account, with its password. */
  readonly ownerFile: string;
  readonly logDir: string;
}

/** Starts the platform, making what is absent. On failure nothing of it runs on. */
export async function startPlatform(
  config: CliConfig,
  progress: Progress,
  signal: AbortSignal,
): Promise<Platform> {
  if (process.getuid?.() !== 0) {
    progress.note(
      "not root: capsules share this user and this host's network; docs/threat-model.md says what is lost",
    );
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

  const run: RunParts = {
    common: {
      ...process.env,
      WRENN_DIR: wrennDir,
      WRENN_ENVD_BIN: envdBinary,
      DATABASE_URL: databaseUrl,
    },
    logDir,
    onRestart: (name, how) => progress.note(`${name} ${how}; restarting it`),
    signal,
  };
  const controlPlane = await progress.step("control plane", async () =>
    stack.use(await startControlPlane(run)),
  );
  const { url } = controlPlane;
  const ownerFile = ownerFileOf(wrennDir);
  const { apiKey } = await readOwner(ownerFile);
  await progress.step("host agent", async () => {
    const token = await registrationToken(wrennDir, { url, apiKey }, signal);
    stack.use(await startAgent(run, config.hostListen, url, token));
  });
  const started = stack.move();
  return { url, apiKey, ownerFile, logDir, [Symbol.asyncDispose]: () => started.disposeAsync() };
}

interface RunParts extends Pick<SupervisedOptions, "logDir" | "onRestart"> {
  /** Environment of every daemon. */
  readonly common: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
}

async function startControlPlane({ common, signal, ...options }: RunParts): Promise<SupervisedProcess> {
  const environment = (previous: string | undefined) => withAddress(common, "WRENN_CP_LISTEN_ADDR", previous);
  return await SupervisedProcess.start({ ...options, name: "wrenn-cp", environment }, signal);
}

/**
 * Starts the agent of this machine; the control plane is its neighbour, so it serves on loopback unless it is told
 * otherwise. It ends before the control plane does, and pauses its capsules first.
 *
 * @param token to register with; a restarted agent has used it already.
 */
async function startAgent(
  { common, signal, ...options }: RunParts,
  listen: ListenAddress,
  controlPlaneUrl: string,
  token: string | undefined,
): Promise<SupervisedProcess> {
  const { DATABASE_URL: _, WRENN_REGISTRATION_TOKEN: __, ...others } = common;
  const env = {
    ...others,
    WRENN_CP_URL: controlPlaneUrl,
    ...(listen.host === "" ? { WRENN_HOST_LISTEN_ADDR: `127.0.0.1:${listen.port}` } : {}),
  };
  const registering = token === undefined ? env : { ...env, WRENN_REGISTRATION_TOKEN: token };
  const environment = (previous: string | undefined) =>
    previous === undefined ? registering : withAddress(env, "WRENN_HOST_LISTEN_ADDR", previous);
  return await SupervisedProcess.start({ ...options, name: "wrenn-agent", environment, drain: true }, signal);
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
