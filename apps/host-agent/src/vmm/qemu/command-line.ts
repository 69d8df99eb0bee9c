import type { CapsuleSize } from "@wrenn/contracts";
import { guestMac } from "../../network/addresses.ts";
import { diskArguments, diskNode, fdset, handedOver, type OpenLayer } from "./disk-nodes.ts";

/**
 * Descriptors that the process inherits: first the socket on which its monitor listens, then the device state that is
 * read or written and the memory, then every other file in any order. It opens nothing by path, for it sees none of our
 * paths.
 */
export const monitorFd = 3;
export const stateFd = 4;
export const memoryFd = 5;

/** The device state as the monitor's commands name it. */
export const savedStatePath = fdset(stateFd);
export const loadedStateUri = `fd:${stateFd}`;

/** What runs the guest's instructions: the processor, or QEMU's translator. */
export type Accelerator = "kvm" | "tcg";

/** System calls that QEMU denies itself: starting programs, changing users, namespaces or its scheduling. */
export const sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/** Memory for translated code. QEMU's default is up to a quarter of the host's memory for each machine. */
const translationCacheMib = 32;

const consoleBytes = 64 * 1024;

const monitor = [
  ...["-chardev", `socket,id=monitor,fd=${monitorFd},server=on,wait=off`],
  ...["-mon", "chardev=monitor,mode=control"],
];

export interface CommandLineSpec {
  /** Tells an operator whose process this is. */
  readonly id: string;
  readonly accelerator: Accelerator;
  readonly size: CapsuleSize;
  readonly memory: {
    /**
     * `shared` while a snapshot is made: what the guest writes reaches the file. `private` for its clones.
     * `private-read-only` too, where QEMU is content with a descriptor that cannot write (8.2 and newer).
     */
    readonly access: "shared" | "private" | "private-read-only";
  };
  /** Value of `-netdev`, without the id. */
  readonly netdev: string;
  /** Lowest layer first; the last one is the machine's own. */
  readonly disk: readonly OpenLayer[];
  /** Absent when the machine is restored: the kernel is in the snapshot's memory. */
  readonly boot?:
    | undefined
    | {
        readonly kernelFd: number;
        readonly initramfsFd: number;
        readonly kernelArgs: string;
        readonly consoleFd: number;
      };
}

/**
 * Arguments of a QEMU `microvm`. A snapshot is only restored by the same devices in the same order, so boot and
 * restore share this one function.
 * Machine type: https://www.qemu.org/docs/master/system/i386/microvm.html
 */
export function commandLine(spec: CommandLineSpec): string[] {
  const { vcpus, memoryMib } = spec.size;
  const args = [
    ...["-name", spec.id, "-nodefaults", "-no-user-config", "-display", "none"],
    ...["-machine", "microvm,x-option-roms=off,memory-backend=ram,suppress-vmdesc=on"],
    ...processorOf(spec.accelerator),
    ...["-smp", String(vcpus), "-m", `${memoryMib}M`],
    ...["-object", json({ "qom-type": "memory-backend-file", id: "ram", ...memoryOf(spec) })],
    ...diskArguments(spec.disk),
    // The guest of a host whose disk is full waits for space; it is told of every other error.
    ...["-device", `virtio-blk-device,drive=${diskNode},werror=enospc,rerror=report`],
    ...["-netdev", `${spec.netdev},id=net`],
    ...["-device", `virtio-net-device,netdev=net,mac=${guestMac}`],
    ...["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-device,rng=rng"],
    ...["-chardev", consoleOf(spec), "-serial", "chardev:console"],
    ...monitor,
    // A guest that reboots has ended: its capsule says so instead of starting over.
    "-no-reboot",
    ...["-sandbox", sandbox],
  ];
  // `-S` always: the state that a snapshot records is "running", and nothing may run before it is complete.
  // A device state without memory has no configuration section, so none may be expected.
  if (!spec.boot) return [...args, "-global", "migration.send-configuration=off", "-incoming", "defer", "-S"];
  const { kernelFd, initramfsFd, kernelArgs, consoleFd } = spec.boot;
  return [
    ...args,
    ...[...handedOver(stateFd), ...handedOver(consoleFd)],
    ...["-kernel", inherited(kernelFd), "-initrd", inherited(initramfsFd), "-append", kernelArgs],
  ];
}

export interface ProbeCommandLineSpec {
  readonly accelerator: Accelerator;
  readonly size: CapsuleSize;
  readonly kernelFd: number;
  readonly initramfsFd: number;
  readonly kernelArgs: string;
}

/** Arguments of a machine that only boots a kernel: no disk, no network, its console on standard output. */
export function probeCommandLine(spec: ProbeCommandLineSpec): string[] {
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none", "-machine", "microvm,x-option-roms=off"],
    ...processorOf(spec.accelerator),
    ...["-smp", String(spec.size.vcpus), "-m", `${spec.size.memoryMib}M`],
    ...["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"],
    ...["-no-reboot", "-sandbox", sandbox],
    ...[
      "-kernel",
      inherited(spec.kernelFd),
      "-initrd",
      inherited(spec.initramfsFd),
      "-append",
      spec.kernelArgs,
    ],
  ];
}

/** Arguments of a QEMU that has a disk and no machine. */
export function flattenCommandLine(id: string, disk: readonly OpenLayer[]): string[] {
  return [
    ...["-name", id, "-machine", "none", "-nodefaults", "-no-user-config", "-display", "none"],
    ...diskArguments(disk),
    ...[...monitor, "-sandbox", sandbox],
  ];
}

/** A file for the parts of QEMU that know no descriptor sets. It is opened anew, so its mode must let the user. */
function inherited(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

function processorOf(accelerator: Accelerator): string[] {
  if (accelerator === "kvm") return ["-accel", "kvm", "-cpu", "host"];
  return ["-accel", `tcg,thread=multi,tb-size=${translationCacheMib}`, "-cpu", "max"];
}

/** A boot's console is read when it fails, so it is a file. A capsule writes as it likes: a ring keeps the last. */
function consoleOf({ boot }: CommandLineSpec): string {
  return boot ? `file,id=console,path=${fdset(boot.consoleFd)}` : `ringbuf,id=console,size=${consoleBytes}`;
}

function memoryOf({ memory, size }: CommandLineSpec): Record<string, unknown> {
  return {
    size: size.memoryMib * 1024 * 1024,
    "mem-path": inherited(memoryFd),
    share: memory.access === "shared",
    ...(memory.access === "private-read-only" ? { readonly: true, rom: "off" } : {}),
  };
}

function json(value: Record<string, unknown>): string {
  return JSON.stringify(value);
}
