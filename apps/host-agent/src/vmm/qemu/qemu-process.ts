import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { type Command, confinedEnvironment } from "../../confinement/confine.ts";
import type { InheritedFiles } from "../../confinement/inherited-files.ts";
import { endProcess, identify, type ProcessIdentity, waitUntilGone } from "../../processes/identity.ts";
import type { MachineExit } from "../vmm.ts";
import { lastWords } from "./last-words.ts";
import { connectToMonitor, listenForMonitor } from "./monitor-socket.ts";
import { QmpClient } from "./qmp-client.ts";

export interface LaunchSpec {
  /** QEMU inside its confinement. */
  readonly command: Command;
  /** What it gets as descriptors, after the monitor's. */
  readonly files: InheritedFiles;
  readonly runDir: string;
}

/** A QEMU process with its monitor: a child of this agent, or of an earlier life of it. */
export interface QemuProcess {
  readonly identity: ProcessIdentity;
  readonly monitor: QmpClient;
  readonly exited: Promise<MachineExit>;
  /** Lets go of the process: it runs on, and its end is no longer noticed. */
  detach(): void;
}

/** A process whose monitor has ended is about to end: how often that is looked at. */
const goneEveryMs = 5;

/**
 * Starts QEMU and waits for its monitor. On failure the process is gone.
 *
 * @param early sends what QEMU is to do first, before it has started: no answer has to be waited for in between.
 */
export async function startQemu(
  spec: LaunchSpec,
  signal: AbortSignal,
  early: (monitor: QmpClient, exited: Promise<MachineExit>) => void = () => {},
): Promise<QemuProcess> {
  signal.throwIfAborted();
  const { child, exited } = await spawnQemu(spec);
  using _ = killOnAbort(child, signal);
  try {
    const { client: monitor, negotiated } = QmpClient.begin(await connectToMonitor(spec.runDir));
    early(monitor, exited);
    const [identity] = await Promise.all([identify(child.pid ?? 0), negotiated]);
    return { identity, monitor, exited, detach: () => monitor.close() };
  } catch (cause) {
    child.kill("SIGKILL");
    const { lastWords: said } = await exited;
    throw new WrennError("agent_error", `QEMU did not start: ${said || "it said nothing"}`, { cause });
  }
}

/**
 * Takes over a QEMU that runs already. Its end is noticed by that of the monitor, at once.
 *
 * @throws when its monitor does not answer.
 */
export async function adoptQemu(
  identity: ProcessIdentity,
  runDir: string,
  signal: AbortSignal,
): Promise<QemuProcess> {
  signal.throwIfAborted();
  const socket = await connectToMonitor(runDir);
  const abort = () => void socket.destroy();
  signal.addEventListener("abort", abort, { once: true });
  try {
    const monitor = await QmpClient.open(socket);
    const { promise: exited, resolve } = Promise.withResolvers<MachineExit>();
    let attached = true;
    void monitor.closed.then(async () => {
      if (attached) resolve(await endOf(identity, runDir));
    });
    const detach = () => {
      attached = false;
      monitor.close();
    };
    return { identity, monitor, exited, detach };
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** Ends the process, and waits until whoever watches it has noticed. */
export async function endQemu({ identity, monitor, exited }: QemuProcess): Promise<void> {
  await endProcess(identity);
  monitor.close();
  await exited;
}

/** What QEMU says goes to this file of its run directory. */
export function logPath(runDir: string): string {
  return join(runDir, "qemu.log");
}

async function endOf(identity: ProcessIdentity, runDir: string): Promise<MachineExit> {
  await waitUntilGone(identity, goneEveryMs);
  return { code: null, signal: null, lastWords: await lastWords(logPath(runDir)) };
}

async function spawnQemu(spec: LaunchSpec): Promise<{ child: ChildProcess; exited: Promise<MachineExit> }> {
  await using stack = new AsyncDisposableStack();
  // Side by side; each is let go of whether or not the other comes about.
  const opening = open(logPath(spec.runDir), "a", 0o600);
  stack.defer(() => opening.then((file) => file.close()).catch(() => {}));
  const listening = listenForMonitor(spec.runDir);
  stack.defer(() => listening.then((socket) => socket[Symbol.asyncDispose]()).catch(() => {}));
  const [log, listener] = await Promise.all([opening, listening]);
  const child = spawn(spec.command.file, spec.command.args, {
    cwd: spec.runDir,
    // A session of its own: signals meant for the agent do not reach it.
    detached: true,
    env: confinedEnvironment(),
    stdio: ["ignore", log.fd, log.fd, listener.fd, ...spec.files.stdio],
  });
  return { child, exited: watchExit(child, logPath(spec.runDir)) };
}

async function watchExit(child: ChildProcess, path: string): Promise<MachineExit> {
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    return { code, signal, lastWords: await lastWords(path) };
  } catch (error) {
    return { code: null, signal: null, lastWords: errnoOf(error) ?? String(error) };
  }
}

function killOnAbort(child: ChildProcess, signal: AbortSignal): Disposable {
  const kill = () => void child.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  if (signal.aborted) kill();
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", kill) };
}
