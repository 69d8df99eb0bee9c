import type { CapsuleSize } from "@wrenn/contracts";
import { guestMac } from "../../network/addresses.ts";
import type { DiskLayer } from "../vmm.ts";

/**
 * Descriptors that the process inherits: first the socket on which its monitor listens, then the device state that is
 * read or written, then every other file in any order. It opens nothing by path, for it sees none of our paths.
 */
export const monitorFd = 3;
export const stateFd = 4;

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

export interface CommandLineSpec {
  /** Tells an operator whose process this is. */
  readonly id: string;
  readonly accelerator: Accelerator;
  readonly size: CapsuleSize;
  readonly memory: {
    readonly fd: number;
    /**
     * `shared` while a snapshot is made: what the guest writes reaches the file. `private` for its clones.
     * `private-read-only` too, where QEMU is content with a descriptor that cannot write (8.2 and newer).
     */
    readonly access: "shared" | "private" | "private-read-only";
  };
  /** Value of `-netdev`, without the id. */
  readonly netdev: string;
  /** Lowest layer first; the last one is the machine's own. */
  readonly disk: readonly { readonly fd: number; readonly format: DiskLayer["format"] }[];
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
    ...spec.disk.flatMap(({ fd }) => handedOver(fd)),
    ...["-blockdev", json(blockNode(spec.disk, false))],
    ...["-device", "virtio-blk-device,drive=disk"],
    ...["-netdev", `${spec.netdev},id=net`],
    ...["-device", `virtio-net-device,netdev=net,mac=${guestMac}`],
    ...["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-device,rng=rng"],
    ...["-chardev", consoleOf(spec), "-serial", "chardev:console"],
    ...["-chardev", `socket,id=monitor,fd=${monitorFd},server=on,wait=off`],
    ...["-mon", "chardev=monitor,mode=control"],
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

/** Makes a descriptor known to QEMU's own opener, which dups it where the name of its set is given as a path. */
function handedOver(fd: number): string[] {
  return ["-add-fd", `fd=${fd},set=${fd}`];
}

function fdset(fd: number): string {
  return `/dev/fdset/${fd}`;
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
    "mem-path": inherited(memory.fd),
    share: memory.access === "shared",
    ...(memory.access === "private-read-only" ? { readonly: true, rom: "off" } : {}),
  };
}

/** Explicit nodes for the whole chain: no format is ever probed from what a guest wrote, no path in it followed. */
function blockNode(layers: CommandLineSpec["disk"], readOnly: boolean): Record<string, unknown> {
  const top = layers.at(-1);
  if (!top) throw new RangeError("a disk has at least one layer");
  const below = layers.slice(0, -1);
  return {
    driver: top.format,
    ...(readOnly ? {} : { "node-name": "disk" }),
    "read-only": readOnly,
    discard: "unmap",
    file: { driver: "file", filename: fdset(top.fd), "read-only": readOnly },
    ...(below.length > 0 ? { backing: blockNode(below, true) } : {}),
  };
}

function json(value: Record<string, unknown>): string {
  return JSON.stringify(value);
}
