import { constants, copyFile, open } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";
import { runCommand } from "@wrenn/daemon";
import type { NetworkSlot } from "../../network/slot.ts";
import { isRunning } from "../../processes/identity.ts";
import type { AdoptSpec, BootSpec, DiskLayer, Machine, MachineSpec, RestoreSpec, Vmm } from "../vmm.ts";
import { commandLine } from "./command-line.ts";
import { hostTscKhz, kernelArgs } from "./kernel-args.ts";
import { consolePath, QemuMachine } from "./qemu-machine.ts";
import { adoptQemu, startQemu } from "./qemu-process.ts";

const binary = "qemu-system-x86_64";

/** Longest time from the start of QEMU to a guest that runs; tens of milliseconds are usual. */
const startTimeoutMs = 60_000;

/** A monitor of a machine that works answers within a millisecond. */
const adoptTimeoutMs = 5_000;

/** Port of the guest agent in every capsule. */
const guestAgentPort = 49983;

/** QEMU's `microvm` with software emulation: runs anywhere, and restores a snapshot in tens of milliseconds. */
export class QemuDriver implements Vmm {
  readonly name = "qemu-tcg";
  readonly network = "slot";
  readonly version: string;
  readonly #tscKhz: number;

  private constructor(version: string, tscKhz: number) {
    this.version = version;
    this.#tscKhz = tscKhz;
  }

  /** @throws {WrennError} `vmm_missing` when QEMU is not installed. */
  static async open(): Promise<QemuDriver> {
    const { stdout } = await runCommand(binary, ["--version"]);
    const version = /version (\S+( \([^)]*\))?)/.exec(stdout)?.[1];
    if (!version) throw new WrennError("vmm_missing", `${binary} does not tell its version; reinstall it`);
    return new QemuDriver(version, await hostTscKhz());
  }

  async makeLayer(below: DiskLayer, path: string, signal: AbortSignal): Promise<void> {
    const backing = ["-b", below.path, "-F", below.format];
    await runCommand("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, path], { signal });
  }

  async boot(spec: BootSpec, signal: AbortSignal): Promise<Machine> {
    const base: DiskLayer = { path: spec.rootfsPath, format: "raw" };
    const own: DiskLayer = { path: spec.diskPath, format: "qcow2" };
    await this.makeLayer(base, own.path, signal);
    await using stateFile = await open(spec.deviceStatePath, "wx", 0o600);
    const args = commandLine({
      size: spec.size,
      memoryPath: spec.memoryPath,
      sharedMemory: true,
      diskLayers: [base, own],
      boot: {
        kernelPath: spec.kernelPath,
        initramfsPath: spec.initramfsPath,
        kernelArgs: kernelArgs(this.#tscKhz, spec.bootTokenSha256),
        consolePath: consolePath(spec.runDir),
      },
    });
    const slot = slotOf(spec);
    const launch = { binary, args, runDir: spec.runDir, slot, stateFile };
    return new QemuMachine(await startQemu(launch, bounded(signal)), guestUrlOf(slot), spec.runDir);
  }

  async restore(spec: RestoreSpec, signal: AbortSignal): Promise<Machine> {
    const own: DiskLayer = { path: spec.diskPath, format: "qcow2" };
    await copyFile(spec.snapshot.emptyLayerPath, own.path, constants.COPYFILE_FICLONE);
    await using stack = new AsyncDisposableStack();
    const stateFile = stack.use(await open(spec.snapshot.deviceStatePath, "r"));
    const args = commandLine({
      size: spec.size,
      memoryPath: spec.snapshot.memoryPath,
      sharedMemory: false,
      diskLayers: [...spec.snapshot.diskLayers, own],
    });
    const slot = slotOf(spec);
    const launch = { binary, args, runDir: spec.runDir, slot, stateFile };
    const start = bounded(signal);
    const machine = stack.use(new QemuMachine(await startQemu(launch, start), guestUrlOf(slot), spec.runDir));
    await machine.resume(start);
    stack.move();
    await stateFile.close();
    return machine;
  }

  async adopt(spec: AdoptSpec, signal: AbortSignal): Promise<Machine | undefined> {
    if (!(await isRunning(spec.process))) return undefined;
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(adoptTimeoutMs)]);
    const qemu = await adoptQemu(spec.process, spec.runDir, deadline);
    return new QemuMachine(qemu, spec.guestUrl, spec.runDir);
  }
}

function bounded(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(startTimeoutMs)]);
}

function guestUrlOf(slot: NetworkSlot): string {
  return `http://${slot.guestAddress}:${guestAgentPort}`;
}

function slotOf(spec: MachineSpec): NetworkSlot {
  if (!spec.slot) throw new RangeError("a QEMU machine needs a network slot");
  return spec.slot;
}
