import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { repository } from "./platform-process.ts";

const programs = {
  "wrenn-cp": "apps/control-plane/src/main.ts",
  "wrenn-agent": "apps/host-agent/src/main.ts",
} as const;

export type DaemonName = keyof typeof programs;

/** A daemon of the platform as an operator starts it, without `wrenn up`. */
export interface Daemon {
  readonly child: ChildProcess;
  /** Resolves with the URL on which it serves; fails with what it said when it ends instead. */
  readonly ready: Promise<string>;
  /** Resolves when it has ended. */
  readonly exited: Promise<{ code: number | null; stderr: string }>;
  /** Resolves when its log has a line that matches. */
  logged(pattern: RegExp): Promise<void>;
}

/** Starts a daemon; if it still runs when the stack is disposed of, it is ended as `end` says. */
export function startDaemon(
  stack: AsyncDisposableStack,
  name: DaemonName,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  end: (child: ChildProcess) => void = (child) => void child.kill("SIGTERM"),
): Daemon {
  const child = spawn(process.execPath, [join(repository, programs[name]), ...args], {
    cwd: repository,
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  if (!child.stderr) throw new Error("stderr is not piped");
  const stderr = text(child.stderr);
  const exited = once(child, "exit").then(async ([code]) => ({ code, stderr: await stderr }));
  const gone = exited.then(({ code, stderr: said }): never => {
    throw new Error(`${name} ended with code ${code}:\n${said}`);
  });
  gone.catch(() => {});
  stack.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    end(child);
    await exited;
  });
  const ready = Promise.race([readyUrl(child), gone]);
  ready.catch(() => {});
  return { child, ready, exited, logged: (pattern) => logged(child, pattern) };
}

/** Ends a host agent and its capsules. */
export function drain(child: ChildProcess): void {
  child.send({ drain: "destroy" });
}

/** A port that nobody listens on; whoever asked had better take it soon. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

async function readyUrl(child: ChildProcess): Promise<string> {
  for (;;) {
    const [message] = (await once(child, "message")) as [{ url?: string }];
    if (message.url) return message.url;
  }
}

function logged({ stderr }: ChildProcess, pattern: RegExp): Promise<void> {
  return new Promise((resolve) => {
    let seen = "";
    stderr?.on("data", (chunk: Buffer) => {
      seen += chunk.toString("utf8");
      if (pattern.test(seen)) resolve();
    });
  });
}
