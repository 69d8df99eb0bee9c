import { spawn } from "node:child_process";
import { access, constants, mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Readable } from "node:stream";
import { writeFileAtomic } from "@wrenn/daemon";
import { Type } from "typebox";
import { Value } from "typebox/value";
import { confinedEnvironment } from "../../confinement/confine.ts";
import type { Confiner } from "../../confinement/confiner.ts";
import { InheritedFiles } from "../../confinement/inherited-files.ts";
import { machineUid } from "../../confinement/machine-user.ts";
import { maxSlots } from "../../network/addresses.ts";
import type { Kernel } from "../../templates/kernel.ts";
import { type Accelerator, probeCommandLine } from "./command-line.ts";
import { baseKernelArgs } from "./kernel-args.ts";

/** A guest under KVM reaches its user space in a fraction of a second; one that spins never does. */
const boundMs = 4_000;

const size = { vcpus: 1, memoryMib: 256 };

/** What the guest's only program writes to its console. */
const signOfLife = "wrenn-guest-runs";

export interface ProbeOptions {
  readonly binary: string;
  readonly qemuVersion: string;
  readonly kernel: Kernel;
  readonly confiner: Confiner;
  readonly signal: AbortSignal;
  /** Longest wait for a sign of life. */
  readonly timeoutMs?: number;
}

/** Whether guests run under KVM here, and why not. */
export interface KvmVerdict {
  readonly usable: boolean;
  readonly reason: string;
}

/** Of a console that may say anything. */
const maxKept = 4096;

const Cached = Type.Object({ key: Type.String(), usable: Type.Boolean(), reason: Type.String() });

/**
 * Whether guests run under KVM on this host. A device that opens proves nothing: below some hypervisors it runs only
 * kernels made for them, and all others spin without an end. So a guest has to run.
 *
 * @param cachePath keeps the verdict for this boot of the host, this QEMU and this kernel.
 */
export async function probeKvm(cachePath: string, options: ProbeOptions): Promise<KvmVerdict> {
  const device = await access("/dev/kvm", constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  );
  if (!device) return { usable: false, reason: "/dev/kvm is not there, or this user may not open it" };
  const bootId = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim();
  const key = [bootId, options.qemuVersion, options.kernel.name].join(" ");
  const cached = await readCached(cachePath);
  if (cached?.key === key) return cached;
  const usable = await guestRuns("kvm", options);
  const reason = usable
    ? "a guest ran under it"
    : `a guest under it gave no sign of life within ${boundMs / 1000} s; this host's /dev/kvm does not run ordinary kernels`;
  await mkdir(dirname(cachePath), { recursive: true });
  await writeFileAtomic(cachePath, `${JSON.stringify({ key, usable, reason })}\n`, 0o644);
  return { usable, reason };
}

/** Boots the kernel without disk and network, and waits until a program in it has written to the console. */
export async function guestRuns(accelerator: Accelerator, options: ProbeOptions): Promise<boolean> {
  const { binary, kernel, confiner, signal, timeoutMs = boundMs } = options;
  await using stack = new AsyncDisposableStack();
  const files = stack.use(new InheritedFiles(0));
  const [kernelFd, initramfsFd] = [
    await files.open(kernel.kernelPath, "r"),
    await files.open(kernel.initramfsPath, "r"),
  ];
  const line = `${await baseKernelArgs(accelerator)} rdinit=/bin/busybox -- echo ${signOfLife}`;
  const args = probeCommandLine({ accelerator, size, kernelFd, initramfsFd, kernelArgs: line });
  // A user above those of the slots, and no network device.
  const place = { index: maxSlots, uid: machineUid(maxSlots), namespacePath: "/proc/self/ns/net" };
  const { file, args: rest } = await confiner.confine({ file: binary, args }, place, size, 0);
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const child = spawn(file, rest, {
    env: confinedEnvironment(),
    killSignal: "SIGKILL",
    signal: deadline,
    stdio: ["ignore", "pipe", "ignore", ...files.stdio],
  });
  child.on("error", () => {});
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  stack.defer(async () => {
    child.kill("SIGKILL");
    await exited;
    await confiner.release(place);
  });
  return await says(child.stdout as Readable, signOfLife);
}

/** Whether the output has the text, before its end. */
async function says(output: Readable, wanted: string): Promise<boolean> {
  let seen = "";
  try {
    for await (const chunk of output.setEncoding("utf8")) {
      seen = (seen + chunk).slice(-maxKept);
      if (seen.includes(wanted)) return true;
    }
  } catch {
    // The deadline has ended the guest.
  }
  return false;
}

async function readCached(path: string): Promise<(KvmVerdict & { readonly key: string }) | undefined> {
  const text = await readFile(path, "utf8").catch(() => "null");
  try {
    const value: unknown = JSON.parse(text);
    return Value.Check(Cached, value) ? value : undefined;
  } catch {
    return undefined;
  }
}
