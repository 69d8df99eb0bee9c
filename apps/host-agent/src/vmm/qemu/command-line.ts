import type { CapsuleSize } from "@wrenn/contracts";
import { guestMac, tapName } from "../../network/addresses.ts";
import type { DiskLayer } from "../vmm.ts";

/** Descriptors that the process inherits: the device state (read or written) and the socket it is monitored on. */
const stateFd = 3;
const monitorFd = 4;

/** The device state as the monitor's commands name it. */
export const savedStatePath = "/dev/fdset/1";
export const loadedStateUri = `fd:${stateFd}`;

/** Memory for translated code. QEMU's default is up to a quarter of the host's memory for each machine. */
const translationCacheMib = 32;

const consoleBytes = 64 * 1024;

export interface CommandLineSpec {
  readonly size: CapsuleSize;
  readonly memoryPath: string;
  /** Whether writes of the guest reach the memory file: true while a snapshot is made, false for its clones. */
  readonly sharedMemory: boolean;
  /** Lowest layer first; the last one is the machine's own. */
  readonly diskLayers: readonly DiskLayer[];
  /** Absent when the machine is restored: the kernel is in the snapshot's memory. */
  readonly boot?: {
    readonly kernelPath: string;
    readonly initramfsPath: string;
    readonly kernelArgs: string;
    readonly consolePath: string;
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
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    ...["-machine", "microvm,x-option-roms=off,memory-backend=ram,suppress-vmdesc=on"],
    ...["-accel", `tcg,thread=multi,tb-size=${translationCacheMib}`, "-cpu", "max"],
    ...["-smp", String(vcpus), "-m", `${memoryMib}M`],
    ...["-object", json({ "qom-type": "memory-backend-file", id: "ram", ...memoryOf(spec) })],
    ...["-blockdev", json(blockNode(spec.diskLayers, false))],
    ...["-device", "virtio-blk-device,drive=disk"],
    ...["-netdev", `tap,id=net,ifname=${tapName},script=no,downscript=no,vnet_hdr=off`],
    ...["-device", `virtio-net-device,netdev=net,mac=${guestMac}`],
    ...["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-device,rng=rng"],
    ...["-chardev", consoleOf(spec), "-serial", "chardev:console"],
    ...[
      "-chardev",
      `socket,id=monitor,fd=${monitorFd},server=on,wait=off`,
      "-mon",
      "chardev=monitor,mode=control",
    ],
    // A guest that reboots has ended: its capsule says so instead of starting over.
    "-no-reboot",
    ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
  ];
  // `-S` always: the state that a snapshot records is "running", and nothing may run before it is complete.
  // A device state without memory has no configuration section, so none may be expected.
  if (!spec.boot) return [...args, "-global", "migration.send-configuration=off", "-incoming", "defer", "-S"];
  const { kernelPath, initramfsPath, kernelArgs } = spec.boot;
  return [
    ...args,
    ...["-add-fd", `fd=${stateFd},set=1`],
    ...["-kernel", kernelPath, "-initrd", initramfsPath, "-append", kernelArgs],
  ];
}

/** A boot's console is read when it fails, so it is a file. A capsule writes as it likes: a ring keeps the last. */
function consoleOf({ boot }: CommandLineSpec): string {
  return boot ? `file,id=console,path=${boot.consolePath}` : `ringbuf,id=console,size=${consoleBytes}`;
}

function memoryOf(spec: CommandLineSpec): Record<string, unknown> {
  return { size: spec.size.memoryMib * 1024 * 1024, "mem-path": spec.memoryPath, share: spec.sharedMemory };
}

/** Explicit nodes for the whole chain: no format is ever probed from what a guest wrote. */
function blockNode(layers: readonly DiskLayer[], readOnly: boolean): Record<string, unknown> {
  const top = layers.at(-1);
  if (!top) throw new RangeError("a disk has at least one layer");
  const below = layers.slice(0, -1);
  return {
    driver: top.format,
    ...(readOnly ? {} : { "node-name": "disk" }),
    "read-only": readOnly,
    discard: "unmap",
    file: { driver: "file", filename: top.path, "read-only": readOnly },
    ...(below.length > 0 ? { backing: blockNode(below, true) } : {}),
  };
}

function json(value: Record<string, unknown>): string {
  return JSON.stringify(value);
}
