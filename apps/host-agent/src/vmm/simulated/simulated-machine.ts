import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { createInterface } from "node:readline";
import { WrennError } from "@wrenn/contracts";
import { endProcess, identify, isRunning, type ProcessIdentity } from "../../processes/identity.ts";
import type { AdoptSpec, Machine, MachineExit } from "../vmm.ts";

/** A guest agent on this host, as this user, in the place of a machine. */
export class SimulatedMachine implements Machine {
  readonly process: ProcessIdentity;
  readonly guestUrl: string;
  readonly ownsKernel = false;
  readonly started = Promise.resolve();
  readonly exited: Promise<MachineExit>;
  readonly #watching: AbortController;

  private constructor(
    process: ProcessIdentity,
    guestUrl: string,
    exited: Promise<MachineExit>,
    watching: AbortController,
  ) {
    this.process = process;
    this.guestUrl = guestUrl;
    this.exited = exited;
    this.#watching = watching;
  }

  static async launch(
    binary: string,
    runDir: string,
    tokenSha256: string,
    signal: AbortSignal,
  ): Promise<SimulatedMachine> {
    signal.throwIfAborted();
    const child = spawn(binary, ["--listen", "127.0.0.1:0", "--token-sha256", tokenSha256], {
      cwd: runDir,
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
    return new SimulatedMachine(identity, `http://${address}`, exited, new AbortController());
  }

  static async adopt({ process, guestUrl }: AdoptSpec): Promise<SimulatedMachine | undefined> {
    if (!(await isRunning(process))) return undefined;
    const watching = new AbortController();
    return new SimulatedMachine(process, guestUrl, endOf(process, guestUrl, watching.signal), watching);
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
