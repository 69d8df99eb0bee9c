import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { WrennError } from "@wrenn/contracts";
import type { BootSpec, DiskLayer, Machine, MachineExit, RestoreSpec, Vmm } from "../vmm.ts";

/**
 * A driver without a machine: a capsule is a guest agent on this host, as this user, without any isolation. It is
 * for tests of everything above the VMM, and passes the same conformance suite as the real drivers.
 */
export class SimulatedDriver implements Vmm {
  readonly name = "simulated";
  readonly version = "1";
  readonly network = "none";
  readonly #envdBinary: string;

  constructor(envdBinary: string) {
    this.#envdBinary = envdBinary;
  }

  async makeLayer(_below: DiskLayer, path: string): Promise<void> {
    await writeFile(path, "", { mode: 0o600 });
  }

  async boot(spec: BootSpec, signal: AbortSignal): Promise<Machine> {
    // The one thing that a guest's memory holds here is the digest of the token it was booted with.
    await writeFile(spec.memoryPath, spec.bootTokenSha256, { mode: 0o600 });
    await writeFile(spec.deviceStatePath, "", { mode: 0o600 });
    await writeFile(spec.diskPath, "", { mode: 0o600 });
    return await SimulatedMachine.launch(this.#envdBinary, spec.runDir, spec.bootTokenSha256, signal);
  }

  async restore(spec: RestoreSpec, signal: AbortSignal): Promise<Machine> {
    await copyFile(spec.snapshot.emptyLayerPath, spec.diskPath);
    const bootTokenSha256 = await readFile(spec.snapshot.memoryPath, "utf8");
    return await SimulatedMachine.launch(this.#envdBinary, spec.runDir, bootTokenSha256, signal);
  }
}

class SimulatedMachine implements Machine {
  readonly pid: number;
  readonly guestUrl: string;
  readonly ownsKernel = false;
  readonly exited: Promise<MachineExit>;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, pid: number, guestUrl: string, exited: Promise<MachineExit>) {
    this.#child = child;
    this.pid = pid;
    this.guestUrl = guestUrl;
    this.exited = exited;
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
    const exited = once(child, "exit").then(
      ([code, name]) => ({ code: code as number | null, signal: name as string | null, lastWords: "" }),
      (error: unknown) => ({ code: null, signal: null, lastWords: String(error) }),
    );
    const gone = exited.then(({ lastWords }) => {
      throw new WrennError(
        "vmm_missing",
        `${binary} did not start: ${lastWords || "it ended"}; run \`make envd\``,
      );
    });
    const address = await Promise.race([listeningAddress(child), gone]);
    if (child.pid === undefined) throw new WrennError("vmm_missing", `${binary} did not start`);
    return new SimulatedMachine(child, child.pid, `http://${address}`, exited);
  }

  async saveAndEnd(): Promise<void> {
    await this[Symbol.asyncDispose]();
  }

  async consoleTail(): Promise<string> {
    return "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.exited;
  }
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
