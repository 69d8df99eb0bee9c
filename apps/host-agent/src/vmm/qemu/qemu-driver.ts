import { WrennError } from "@wrenn/contracts";
import { runCommand } from "@wrenn/daemon";
import type { Confiner, Place } from "../../confinement/confiner.ts";
import { isRunning } from "../../processes/identity.ts";
import { topLayer } from "../disk/chain.ts";
import { diskBytesOf, makeEmptyLayer } from "../disk/qcow2.ts";
import type { AdoptSpec, BootSpec, FlattenSpec, Machine, MachineSpec, RestoreSpec, Vmm } from "../vmm.ts";
import { type Accelerator, type CommandLineSpec, commandLine } from "./command-line.ts";
import { flattenLayers } from "./flatten.ts";
import { baseKernelArgs, bootKernelArgs } from "./kernel-args.ts";
import { loadState } from "./load-state.ts";
import { MachineDisk } from "./machine-disk.ts";
import { type MachineFiles, openBootFiles, openRestoreFiles } from "./machine-files.ts";
import { connectMachine, placeOf } from "./machine-network.ts";
import { consolePath, QemuMachine } from "./qemu-machine.ts";
import { adoptQemu, type QemuProcess, startQemu } from "./qemu-process.ts";

export const qemuBinary = "qemu-system-x86_64";

/** Longest time from the start of QEMU to a guest that runs; tens of milliseconds are usual. */
const startTimeoutMs = 60_000;

/** A monitor of a machine that works answers within a millisecond. */
const adoptTimeoutMs = 5_000;

/**
 * Frames with the guest's address, for ten seconds: the first may come before QEMU is connected, and is lost then.
 * Times are in milliseconds.
 */
const announcement = { initial: 10, max: 100, rounds: 100, step: 10 };

export interface QemuOptions {
  /** As {@link qemuVersion} answers it. */
  readonly version: string;
  readonly accelerator: Accelerator;
  readonly network: "slot" | "passt";
  /** Where its machines are kept; the caller disposes of it after the last start. */
  readonly confiner: Confiner;
}

/** QEMU's `microvm`, with KVM or, anywhere, with software emulation. It restores a snapshot in tens of milliseconds. */
export class QemuDriver implements Vmm {
  readonly name: string;
  readonly network: "slot" | "passt";
  readonly version: string;
  readonly #accelerator: Accelerator;
  readonly #confiner: Confiner;
  readonly #kernelArgs: string;

  private constructor(kernelArgs: string, { version, accelerator, network, confiner }: QemuOptions) {
    this.name = `qemu-${accelerator}`;
    this.network = network;
    this.version = version;
    this.#accelerator = accelerator;
    this.#confiner = confiner;
    this.#kernelArgs = kernelArgs;
  }

  static async open(options: QemuOptions): Promise<QemuDriver> {
    return new QemuDriver(await baseKernelArgs(options.accelerator), options);
  }

  async boot(spec: BootSpec, signal: AbortSignal): Promise<Machine> {
    const diskBytes = await diskBytesOf(topLayer(spec.diskLayers));
    await makeEmptyLayer(spec.diskPath, diskBytes);
    const console = consolePath(spec.runDir);
    const { boot, ...files } = await openBootFiles(spec, diskBytes, spec.slot?.uid, console);
    await using _ = files.files;
    const line = { ...boot, kernelArgs: bootKernelArgs(this.#kernelArgs, spec.bootTokenSha256) };
    return await this.#launch(spec, files, line, bounded(signal));
  }

  async restore(spec: RestoreSpec, signal: AbortSignal): Promise<Machine> {
    const diskBytes = await diskBytesOf(topLayer(spec.snapshot.diskLayers));
    await makeEmptyLayer(spec.diskPath, diskBytes);
    const files = await openRestoreFiles(spec, diskBytes, this.#readOnlyMemory);
    await using _ = files.files;
    return await this.#launch(spec, files, undefined, bounded(signal));
  }

  async adopt(spec: AdoptSpec, signal: AbortSignal): Promise<Machine | undefined> {
    if (!(await isRunning(spec.process))) return undefined;
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(adoptTimeoutMs)]);
    await using stack = new AsyncDisposableStack();
    const qemu = await adoptQemu(spec.process, spec.runDir, deadline);
    stack.defer(async () => qemu.detach());
    const machine = this.#machine(qemu, spec, spec.ownLayers, placeOf(this.network, spec.slot));
    await machine.recognise();
    stack.move();
    return machine;
  }

  async flatten(spec: FlattenSpec, signal: AbortSignal): Promise<void> {
    await flattenLayers(spec, { binary: qemuBinary, confiner: this.#confiner, signal });
  }

  #machine(
    qemu: QemuProcess,
    { runDir, guestUrl }: Pick<AdoptSpec, "runDir" | "guestUrl">,
    layers: readonly string[],
    place: Place,
    started = Promise.resolve(),
  ): QemuMachine {
    const confiner = this.#confiner;
    const disk = new MachineDisk(qemu.monitor, confiner, place, layers);
    return new QemuMachine({ qemu, disk, confiner, place, runDir }, guestUrl, started);
  }

  /** @param boot absent when there is a state to load, which begins while QEMU starts. */
  async #launch(
    spec: MachineSpec,
    { files, largestBytes, memory, disk }: MachineFiles,
    boot: CommandLineSpec["boot"],
    signal: AbortSignal,
  ): Promise<QemuMachine> {
    const { id, size, runDir } = spec;
    await using stack = new AsyncDisposableStack();
    const network = stack.use(await connectMachine(this.network, spec, signal));
    const { netdev, place, guestUrl } = network;
    const args = commandLine({ id, accelerator: this.#accelerator, size, memory, netdev, disk, boot });
    const program = { file: qemuBinary, args };
    const command = await this.#confiner.confine(program, place, size, largestBytes);
    let started = Promise.resolve();
    const qemu = await startQemu({ command, files, runDir }, signal, (monitor, exited) => {
      if (boot) return;
      started = loadState(monitor, exited);
      // Whoever waits for the machine to run is told; nobody may.
      started.catch(() => {});
    });
    // What fails here is found at the next start of the agent.
    void qemu.exited.then(() => this.#confiner.release(place)).catch(() => {});
    const machine = stack.use(this.#machine(qemu, { runDir, guestUrl }, [spec.diskPath], place, started));
    // Passt sends to nobody in particular, and the guest drops it, until it has seen a frame of the guest's.
    if (this.network === "passt") await qemu.monitor.execute("announce-self", announcement);
    stack.move();
    return machine;
  }

  get #readOnlyMemory(): boolean {
    return atLeast(this.version, 8, 2);
  }
}

/** @throws {WrennError} `vmm_missing` when QEMU is not installed. */
export async function qemuVersion(): Promise<string> {
  const { stdout } = await runCommand(qemuBinary, ["--version"]);
  const version = /version (\S+( \([^)]*\))?)/.exec(stdout)?.[1];
  if (!version) throw new WrennError("vmm_missing", `${qemuBinary} does not tell its version; reinstall it`);
  return version;
}

function atLeast(version: string, major: number, minor: number): boolean {
  const [left = 0, right = 0] = version.split(".").map((part) => Number.parseInt(part, 10));
  return left > major || (left === major && right >= minor);
}

function bounded(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(startTimeoutMs)]);
}
