import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { WrennError } from "@wrenn/contracts";
import { type DrainMessage, isReadyMessage } from "@wrenn/daemon";
import { lastError, openLog } from "./log-file.ts";
import { type ProgramName, programCommand } from "./program.ts";

const firstRestartMs = 200;
const lastRestartMs = 10_000;
/** A process that ran this long has recovered: its next restart is quick again. */
const healthyMs = 60_000;
const stopGraceMs = 75_000;
/** A daemon that does not serve by then has nothing of its own to end. */
const bringBackMs = 20_000;
const drainMessage: DrainMessage = { drain: "pause" };

export interface SupervisedOptions {
  readonly name: ProgramName;
  readonly logDir: string;
  /** Environment for a start; called for each, with the URL that the previous one served, if it did. */
  environment(previousUrl: string | undefined): NodeJS.ProcessEnv;
  onRestart(name: ProgramName, how: string): void;
  /** Whether it has to pause what it runs before it ends: else that outlives it. */
  readonly drain?: boolean;
}

/**
 * One daemon as a child process. A first start that fails is an error; after that a crash restarts it, and it
 * alone. The child ends by itself when this process does: the IPC channel between them closes.
 */
export class SupervisedProcess implements AsyncDisposable {
  readonly #options: SupervisedOptions;
  readonly #stopping = new AbortController();
  /** Ends a start that has to complete although the daemon is stopping. */
  readonly #giveUp = new AbortController();
  #child: ChildProcess;
  #url: string;
  #supervising: Promise<void>;
  #restarting: Promise<void> = Promise.resolve();

  private constructor(options: SupervisedOptions, child: ChildProcess, url: string) {
    this.#options = options;
    this.#child = child;
    this.#url = url;
    this.#supervising = this.#supervise(performance.now());
  }

  /** Starts the daemon and waits until it serves. */
  static async start(options: SupervisedOptions, signal: AbortSignal): Promise<SupervisedProcess> {
    const { child, url } = await launch(options, undefined, signal);
    return new SupervisedProcess(options, child, url);
  }

  /** Base URL of the daemon on this machine. */
  get url(): string {
    return this.#url;
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Ends the daemon: politely first, and for good when that takes too long. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    const late = setTimeout(() => this.#giveUp.abort(), bringBackMs);
    if (this.#options.drain) await this.#bringBack();
    clearTimeout(late);
    const forced = setTimeout(() => this.#child.kill("SIGKILL"), stopGraceMs);
    const drained = this.#options.drain && this.#child.connected && this.#child.send(drainMessage);
    if (!drained) this.#child.kill("SIGTERM");
    await Promise.all([this.#supervising, exitOf(this.#child)]);
    clearTimeout(forced);
  }

  /** One that has crashed cannot end what it ran: it is started once more, to do that. */
  async #bringBack(): Promise<void> {
    await this.#restarting;
    if (hasEnded(this.#child)) await this.#restart(this.#giveUp.signal);
  }

  async #supervise(startedAt: number): Promise<void> {
    let started = startedAt;
    let waitMs = firstRestartMs;
    for (;;) {
      const how = await exitOf(this.#child);
      if (this.#stopping.signal.aborted) return;
      if (performance.now() - started > healthyMs) waitMs = firstRestartMs;
      this.#options.onRestart(this.#options.name, how);
      await delay(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
      if (this.#stopping.signal.aborted) return;
      waitMs = Math.min(waitMs * 2, lastRestartMs);
      started = performance.now();
      const { signal } = this.#options.drain ? this.#giveUp : this.#stopping;
      this.#restarting = this.#restart(signal);
      await this.#restarting;
    }
  }

  async #restart(signal: AbortSignal): Promise<void> {
    try {
      const { child, url } = await launch(this.#options, this.#url, signal);
      this.#child = child;
      this.#url = url;
    } catch {
      // It ended before it served; the loop sees that exit and tries again.
    }
  }
}

/** Starts one process and waits for its ready message or its end, whichever comes first. */
async function launch(
  options: SupervisedOptions,
  previousUrl: string | undefined,
  signal: AbortSignal,
): Promise<{ child: ChildProcess; url: string }> {
  const { command, args } = programCommand(options.name);
  const log = await openLog(options.logDir, options.name);
  await using _ = log.file;
  const child = spawn(command, args, {
    // A process group of its own: Ctrl-C reaches the supervisor, which ends the daemons in order.
    detached: true,
    env: options.environment(previousUrl),
    stdio: ["ignore", log.file.fd, log.file.fd, "ipc"],
  });
  const abort = () => child.kill("SIGTERM");
  signal.addEventListener("abort", abort, { once: true });
  try {
    const url = await Promise.race([readyUrl(child), exitOf(child)]);
    if (typeof url === "object") return { child, url: url.url };
    signal.throwIfAborted();
    const sentence = (await lastError(log.path)) ?? `${options.name} ${url}; see ${log.path}`;
    throw new WrennError("internal_error", sentence);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

async function readyUrl(child: ChildProcess): Promise<{ url: string }> {
  for (;;) {
    const [message] = (await once(child, "message")) as [unknown];
    if (isReadyMessage(message)) return message;
  }
}

/** How the process ended, in words; at once if it has ended already. */
async function exitOf(child: ChildProcess): Promise<string> {
  if (!hasEnded(child)) await once(child, "exit").catch(() => {});
  return child.signalCode ? `was ended by ${child.signalCode}` : `ended with code ${child.exitCode}`;
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
