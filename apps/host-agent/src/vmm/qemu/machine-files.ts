import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { InheritedFiles } from "../../confinement/inherited-files.ts";
import { checkDeviceState } from "../device-state.ts";
import type { BootSpec, DiskLayer, RestoreSpec } from "../vmm.ts";
import { type CommandLineSpec, memoryFd, monitorFd, stateFd } from "./command-line.ts";
import type { OpenLayer } from "./disk-nodes.ts";

/** The files of a machine, open for its process, and their numbers there. */
export interface MachineFiles extends Pick<CommandLineSpec, "memory" | "disk"> {
  readonly files: InheritedFiles;
  /** Size up to which the machine may have to extend one of them. */
  readonly largestBytes: number;
}

/** A full layer with its tables is a little larger than the disk it is for. */
const layerOverhead = 17 / 16;
const layerOverheadBytes = 64 * 1024 * 1024;

/** Standard descriptors are below the monitor's; the files follow it. */
const reserved = monitorFd - 2;

/**
 * A boot makes its memory and device state.
 *
 * @param diskBytes size of the disk.
 * @param uid user of the machine. Linux opens `/proc/self/fd/N` anew, so until the snapshot is complete the memory
 *   belongs to it.
 */
export async function openBootFiles(
  spec: BootSpec,
  diskBytes: number,
  uid: number | undefined,
  consolePath: string,
): Promise<MachineFiles & { readonly boot: Omit<NonNullable<CommandLineSpec["boot"]>, "kernelArgs"> }> {
  await using stack = new AsyncDisposableStack();
  const files = stack.use(new InheritedFiles(reserved));
  addAs(stateFd, files, await open(spec.deviceStatePath, "wx", 0o600));
  const memory = await open(spec.memoryPath, "wx+", 0o600);
  addAs(memoryFd, files, memory);
  const memoryBytes = spec.size.memoryMib * 1024 * 1024;
  await memory.truncate(memoryBytes);
  if (uid !== undefined) await memory.chown(uid, uid);
  const disk = await openDisk(files, spec.diskLayers, spec.diskPath);
  const boot = {
    kernelFd: await openForAll(files, spec.kernelPath),
    initramfsFd: await openForAll(files, spec.initramfsPath),
    consoleFd: await files.open(consolePath, "w", 0o600),
  };
  const largestBytes = Math.max(memoryBytes, fullLayerBytes(diskBytes));
  stack.move();
  return { files, largestBytes, memory: { access: "shared" }, disk, boot };
}

/**
 * @param diskBytes size of the disk in the snapshot.
 * @param readOnlyMemory whether this QEMU maps memory from a descriptor that cannot write.
 */
export async function openRestoreFiles(
  spec: RestoreSpec,
  diskBytes: number,
  readOnlyMemory: boolean,
): Promise<MachineFiles> {
  await using stack = new AsyncDisposableStack();
  const files = stack.use(new InheritedFiles(reserved));
  const { snapshot } = spec;
  const state = await open(snapshot.deviceStatePath, "r");
  addAs(stateFd, files, state);
  await checkDeviceState(state, snapshot);
  const memory = await open(snapshot.memoryPath, "r");
  addAs(memoryFd, files, memory);
  await checkUnchanged(memory, state, snapshot.memoryPath);
  await seal(memory, readOnlyMemory);
  const disk = await openDisk(files, snapshot.diskLayers, spec.diskPath);
  stack.move();
  return {
    files,
    largestBytes: fullLayerBytes(Math.max(diskBytes, spec.maxDiskBytes ?? 0)),
    memory: { access: readOnlyMemory ? "private-read-only" : "private" },
    disk,
  };
}

/** QEMU writes its own layer, and reads it by its own only once a freeze has made it a layer below another. */
async function openDisk(
  files: InheritedFiles,
  layers: readonly DiskLayer[],
  ownPath: string,
): Promise<OpenLayer[]> {
  const disk: OpenLayer[] = [];
  for (const { path, format } of layers) disk.push({ fd: await files.open(path, "r"), format });
  disk.push({ fd: await files.open(ownPath, "r+"), readFd: await files.open(ownPath, "r"), format: "qcow2" });
  return disk;
}

/**
 * The device state is written last, so a memory image that changed later was changed by a machine restored from it,
 * which no monitor does by itself. Only root can set a file's time to another than now.
 *
 * @throws {WrennError} `image_corrupt`.
 */
async function checkUnchanged(memory: FileHandle, state: FileHandle, path: string): Promise<void> {
  const [{ mtimeMs: changed }, { mtimeMs: saved }] = [await memory.stat(), await state.stat()];
  if (changed <= saved) return;
  const sentence = `${path} was changed after it was made, perhaps by a machine that was taken over`;
  throw new WrennError("image_corrupt", `${sentence}; end its capsules and remove ${dirname(path)}`);
}

/**
 * Takes a finished memory image from the user that made it. Who restores it opens it anew through its descriptor, so
 * the mode must let everybody; nobody finds it by its path. QEMU before 8.2 insists on opening it for writing, though
 * it maps it privately.
 */
async function seal(memory: FileHandle, readOnlyMemory: boolean): Promise<void> {
  const mode = readOnlyMemory ? 0o444 : 0o666;
  const [uid = 0, gid = 0] = [process.getuid?.(), process.getgid?.()];
  const present = await memory.stat();
  if (present.uid !== uid || present.gid !== gid) await memory.chown(uid, gid);
  if ((present.mode & 0o777) !== mode) await memory.chmod(mode);
}

/** Largest size of a layer of a disk. */
export function fullLayerBytes(diskBytes: number): number {
  return Math.ceil(diskBytes * layerOverhead) + layerOverheadBytes;
}

function addAs(expected: number, files: InheritedFiles, file: FileHandle): void {
  const fd = files.add(file);
  if (fd !== expected) throw new RangeError(`descriptor ${fd} has to be ${expected}`);
}

/** Opens a file that the machine's user opens again: everybody must be able to read it. */
async function openForAll(files: InheritedFiles, path: string): Promise<number> {
  const file = await open(path, "r");
  const fd = files.add(file);
  const { mode } = await file.stat();
  if ((mode & 0o004) === 0) {
    const sentence = `${path} cannot be read by the users that machines run as; run \`chmod a+r ${path}\``;
    throw new WrennError("image_corrupt", sentence);
  }
  return fd;
}
