import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { errnoOf, WrennError } from "@wrenn/contracts";
import type { NetworkSlot } from "../../network/slot.ts";
import type { Machine, MachineExit } from "../vmm.ts";
import { loadedStateUri, monitorFd, savedStatePath } from "./command-line.ts";
import { lastWords } from "./last-words.ts";
import { QmpClient } from "./qmp-client.ts";

/** Port of the guest agent in every capsule. */
const guestAgentPort = 49983;

export interface LaunchSpec {
  readonly binary: string;
  readonly args: readonly string[];
  readonly runDir: string;
  readonly slot: NetworkSlot;
  /** Becomes descriptor 3: the device state to read, or to write. */
  readonly stateFile: FileHandle;
}

/** A boot's console goes to this file of its run directory. */
export function consolePath(runDir: string): string {
  return join(runDir, "console.log");
}

interface QemuProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<MachineExit>;
}

/** One QEMU process with its monitor. */
export class QemuMachine implements Machine {
  readonly pid: number;
  readonly guestUrl: string;
  readonly ownsKernel = true;
  readonly exited: Promise<MachineExit>;
  readonly #child: ChildProcess;
  readonly #monitor: QmpClient;
  readonly #consolePath: string;

  private constructor(qemu: QemuProcess, monitor: QmpClient, spec: LaunchSpec) {
    this.#child = qemu.child;
    this.pid = qemu.pid;
    this.exited = qemu.exited;
    this.#monitor = monitor;
    this.#consolePath = consolePath(spec.runDir);
    this.guestUrl = `http://${spec.slot.guestAddress}:${guestAgentPort}`;
  }

  /** Starts the process in the slot's network namespace and waits for its monitor. */
  static async launch(spec: LaunchSpec, signal: AbortSignal): Promise<QemuMachine> {
    signal.throwIfAborted();
    const qemu = await startProcess(spec);
    using _ = killOnAbort(qemu.child, signal);
    try {
      // Libuv made a socket pair for this stream: a monitor connected from the start, without path or race.
      const monitor = await QmpClient.open(qemu.child.stdio[monitorFd] as Duplex);
      return new QemuMachine(qemu, monitor, spec);
    } catch (cause) {
      qemu.child.kill("SIGKILL");
      throw launchError((await qemu.exited).lastWords, cause);
    }
  }

  /** Loads the device state from the inherited descriptor and lets the guest run. */
  async resume(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    using _ = killOnAbort(this.#child, signal);
    await this.#loadState();
    await this.#monitor.execute("cont");
  }

  async saveAndEnd(): Promise<void> {
    await this.#monitor.execute("stop");
    // Despite its name this is QEMU's command for the device state alone; `live` would give up the disk's lock.
    await this.#monitor.execute("xen-save-devices-state", { filename: savedStatePath, live: false });
    // QEMU closes the connection, sometimes before its answer is through.
    await this.#monitor.execute("quit").catch(() => {});
    await this.exited;
  }

  async consoleTail(): Promise<string> {
    return await lastWords(this.#consolePath);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#monitor.close();
    this.#child.kill("SIGKILL");
    await this.exited;
  }

  /** The memory is in a file of its own; what is loaded is the state of the devices. */
  async #loadState(): Promise<void> {
    const capabilities = [{ capability: "events", state: true }];
    await this.#monitor.execute("migrate-set-capabilities", { capabilities });
    const { promise: completed, resolve, reject } = Promise.withResolvers<void>();
    const unsubscribe = this.#monitor.on("MIGRATION", ({ status }) => {
      if (status === "completed") resolve();
      if (status === "failed")
        reject(new WrennError("agent_error", "QEMU cannot load the snapshot's device state"));
    });
    const gone = this.exited.then(({ lastWords }) => {
      throw new WrennError(
        "agent_error",
        `QEMU ended while it loaded a snapshot: ${lastWords || "it said nothing"}`,
      );
    });
    const loading = this.#monitor.execute("migrate-incoming", { uri: loadedStateUri });
    try {
      await Promise.race([Promise.all([loading, completed]), gone]);
    } finally {
      unsubscribe();
    }
  }
}

/** A monitor that does not answer is waited for until the abort; then its process ends, and so does the wait. */
function killOnAbort(child: ChildProcess, signal: AbortSignal): Disposable {
  const kill = () => void child.kill("SIGKILL");
  if (signal.aborted) kill();
  signal.addEventListener("abort", kill, { once: true });
  return { [Symbol.dispose]: () => signal.removeEventListener("abort", kill) };
}

async function startProcess(spec: LaunchSpec): Promise<QemuProcess> {
  const logPath = join(spec.runDir, "qemu.log");
  await using log = await open(logPath, "a", 0o600);
  const child = spawn("nsenter", [`--net=${spec.slot.namespacePath}`, "--", spec.binary, ...spec.args], {
    cwd: spec.runDir,
    // A session of its own: signals meant for the agent do not reach it.
    detached: true,
    env: { PATH: process.env.PATH },
    stdio: ["ignore", log.fd, log.fd, spec.stateFile.fd, "pipe"],
  });
  const exited = watchExit(child, logPath);
  if (child.pid === undefined) throw launchError((await exited).lastWords);
  return { child, pid: child.pid, exited };
}

async function watchExit(child: ChildProcess, logPath: string): Promise<MachineExit> {
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
    return { code, signal, lastWords: await lastWords(logPath) };
  } catch (error) {
    return { code: null, signal: null, lastWords: errnoOf(error) ?? String(error) };
  }
}

function launchError(lastWords: string, cause?: unknown): WrennError {
  return new WrennError("agent_error", `QEMU did not start: ${lastWords || "it said nothing"}`, { cause });
}
