import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { stat, truncate } from "node:fs/promises";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { WrennError } from "@wrenn/contracts";
import { endProcess, identify, isRunning, type ProcessIdentity } from "../../processes/identity.ts";
import type { FreezeOptions, Frozen } from "../frozen.ts";
import type { AdoptSpec, Machine, MachineExit } from "../vmm.ts";
import { SimulatedFrozen } from "./simulated-frozen.ts";
import { SimulatedParts } from "./simulated-parts.ts";

/** What a guest agent is started with. */
export interface LaunchOptions {
  readonly binary: string;
  readonly tokenSha256: string;
  readonly parts: SimulatedParts;
}

/**
 * A guest agent on this host, as this user, in the place of a machine. What it started goes on while it is frozen, and
 * after its end: there is no kernel to stop.
 */
export class SimulatedMachine implements Machine {
  readonly process: ProcessIdentity;
  readonly guestUrl: string;
  readonly ownsKernel = false;
  readonly started = Promise.resolve();
  readonly exited: Promise<MachineExit>;
  /** No host's disk is ever too full for a guest that writes to it directly: it is told. */
  readonly halt = undefined;
  readonly #parts: SimulatedParts;
  readonly #watching: AbortController;

  private constructor(
    process: ProcessIdentity,
    guestUrl: string,
    exited: Promise<MachineExit>,
    parts: SimulatedParts,
    watching: AbortController,
  ) {
    this.process = process;
    this.guestUrl = guestUrl;
    this.exited = exited;
    this.#parts = parts;
    this.#watching = watching;
  }

  get ownLayers(): readonly string[] {
    return this.#parts.layers;
  }

  static async launch(
    { binary, tokenSha256, parts }: LaunchOptions,
    signal: AbortSignal,
  ): Promise<SimulatedMachine> {
    signal.throwIfAborted();
    const child = spawn(binary, ["--listen", "127.0.0.1:0", "--token-sha256", tokenSha256], {
      cwd: parts.runDir,
      detached: true,
      env: {},
      stdio: ["ignore", "pipe", "ignore"],
    });
    const exited = exitOf(child);
    const gone = exited.then(({ lastWords }) => {
      const sentence = `${binary} did not start: ${lastWords || "it ended"}; run \`make envd\``;
      throw new WrennError("vmm_missing", sentence);
    });
    const address = await Promise.race([listeningAddress(child), gone]);
    const identity = await identify(child.pid ?? 0);
    return new SimulatedMachine(identity, `http://${address}`, exited, parts, new AbortController());
  }

  static async adopt({
    process,
    guestUrl,
    runDir,
    ownLayers,
  }: AdoptSpec): Promise<SimulatedMachine | undefined> {
    if (!(await isRunning(process))) return undefined;
    const watching = new AbortController();
    const exited = endOf(process, guestUrl, watching.signal);
    const parts = await SimulatedParts.recognise(runDir, ownLayers);
    const machine = new SimulatedMachine(process, guestUrl, exited, parts, watching);
    // One that an earlier life of the agent was freezing goes on.
    machine.#signal("SIGCONT");
    return machine;
  }

  onHalt(): Disposable {
    return { [Symbol.dispose]: () => {} };
  }

  async goOn(): Promise<void> {}

  async dirtyBytes(): Promise<number> {
    return (await this.#parts.dirtyMemory()).runs.bytes;
  }

  async freeze(options: FreezeOptions, signal: AbortSignal): Promise<Frozen> {
    signal.throwIfAborted();
    if (!(await isRunning(this.process))) throw new WrennError("agent_error", "the machine has ended");
    await using undo = new AsyncDisposableStack();
    undo.defer(async () => this.#signal("SIGCONT"));
    this.#signal("SIGSTOP");
    const stoppedAt = performance.now();
    const thaw = async () => {
      this.#signal("SIGCONT");
      return performance.now() - stoppedAt;
    };
    const end = () => this[Symbol.asyncDispose]();
    const frozen = await SimulatedFrozen.take(this.#parts, options, { thaw, end });
    undo.move();
    return frozen;
  }

  async resizeDisk(bytes: number): Promise<void> {
    const { size } = await stat(this.#parts.diskPath);
    if (bytes < size) {
      throw new WrennError("invalid_request", `the disk has ${size} bytes and cannot shrink to ${bytes}`);
    }
    await truncate(this.#parts.diskPath, bytes);
  }

  async shortenDisk(): Promise<void> {
    this.#parts.shorten();
  }

  async saveAndEnd(): Promise<void> {
    await this[Symbol.asyncDispose]();
  }

  async consoleTail(): Promise<string> {
    return "";
  }

  detach(): void {
    this.#watching.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await endProcess(this.process);
    await this.exited;
  }

  /** One that has ended is told nothing. */
  #signal(name: "SIGSTOP" | "SIGCONT"): void {
    try {
      process.kill(this.process.pid, name);
    } catch {}
  }
}
function exitOf(child: ChildProcess): Promise<MachineExit> {
  return once(child, "exit").then(
    ([code, name]) => ({ code: code as number | null, signal: name as string | null, lastWords: "" }),
    (error: unknown) => ({ code: null, signal: null, lastWords: String(error) }),
  );
}

/** The kernel closes a process's connections when it ends: that is how one notices who is not its parent. */
async function endOf(process: ProcessIdentity, guestUrl: string, signal: AbortSignal): Promise<MachineExit> {
  const { hostname, port } = new URL(guestUrl);
  while (!signal.aborted && (await isRunning(process))) {
    const socket = connect({ host: hostname, port: Number(port), signal });
    socket.on("error", () => {});
    socket.resume();
    await new Promise((resolve) => socket.once("close", resolve));
  }
  // Who has let go of a machine does not learn of its end.
  if (signal.aborted) return new Promise(() => {});
  return { code: null, signal: null, lastWords: "" };
}

/** The guest agent prints the address that it listens on as its first line. */
async function listeningAddress(child: ChildProcess): Promise<string> {
  if (!child.stdout) throw new RangeError("the guest agent's output is not piped");
  const lines = createInterface({ input: child.stdout });
  const [line] = (await once(lines, "line")) as [string];
  const address = /(\d+\.\d+\.\d+\.\d+:\d+)/.exec(line)?.[1];
  if (!address) throw new WrennError("vmm_missing", "the guest agent did not say where it listens");
  return address;
}
