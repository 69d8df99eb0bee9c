import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf, WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import type { PostgresBinaries } from "./binaries.ts";
import { confine } from "./confine.ts";
import { readServerLog, type ServerLog } from "./server-log.ts";

export interface ServerExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** A PostgreSQL that we started, from its first moment to its last. */
export interface ServerProcess {
  readonly pid: number;
  readonly log: ServerLog;
  readonly exited: Promise<ServerExit>;
  /** Ends it within some 30 s, the gentlest way that works; resolves when it has ended. */
  stop(): Promise<void>;
}

/** Fast (no new transaction, clean shutdown), immediate (no checkpoint), and what cannot be refused. */
const stopSteps = [
  { signal: "SIGINT", waitMs: 20_000 },
  { signal: "SIGQUIT", waitMs: 5_000 },
  { signal: "SIGKILL", waitMs: 5_000 },
] as const;

export function spawnServer(
  dataDir: string,
  port: number,
  binaries: PostgresBinaries,
  logger: Logger,
): ServerProcess {
  const settings = {
    listen_addresses: "127.0.0.1",
    port: String(port),
    unix_socket_directories: "",
    logging_collector: "off",
    log_destination: "stderr",
    log_line_prefix: "",
    lc_messages: "C",
    timezone: "UTC",
  };
  const args = Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
  const command = confine({ program: binaries.postgres, args: ["-D", dataDir, ...args] }, "INT");
  const child = spawn(command.program, command.args, {
    env: binaries.env,
    // A session of its own: Ctrl-C in a terminal is for us, and we then stop it in order.
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const { promise: exited, resolve, reject } = Promise.withResolvers<ServerExit>();
  child.once("error", (error) => reject(spawnError(command.program, error)));
  child.once("close", (code, signal) => resolve({ code, signal }));
  exited.catch(() => {}); // whoever waits for it gets the error; nobody has to

  return {
    pid: child.pid ?? 0,
    log: readServerLog(child.stderr, logger),
    exited,
    async stop() {
      for (const { signal, waitMs } of stopSteps) {
        if (child.exitCode === null && child.signalCode === null) child.kill(signal);
        const timer = new AbortController();
        const late = sleep(waitMs, false, { signal: timer.signal }).catch(() => false);
        const ended = await Promise.race([exited.then(() => true), late]);
        timer.abort();
        if (ended) return;
      }
    },
  };
}

function spawnError(program: string, cause: Error): Error {
  if (errnoOf(cause) !== "ENOENT") return cause;
  return new WrennError("image_missing", `${program} is not installed; install the package util-linux`, {
    cause,
  });
}
