import { createHash } from "node:crypto";
import { type FileHandle, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { type SavedState, savedParts } from "./frozen.ts";
import type { MachineSnapshot } from "./vmm.ts";

/** A device state has some tens of kilobytes. It is read whole, and a monitor that was taken over writes what it likes. */
const maxBytes = 16 * 1024 * 1024;

/** @throws {WrennError} `agent_error` when there is more of it than of any machine. */
export async function readDeviceState(file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  if (size > maxBytes) throw new WrennError("agent_error", `the machine has a device state of ${size} bytes`);
  // At a position, for a VMM reads on from where the descriptor is.
  const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, 0);
  return buffer.subarray(0, bytesRead);
}

/** Writes a device state to the directory of a snapshot, and waits until it is on the disk. */
export async function writeDeviceState(dir: string, state: Buffer): Promise<SavedState> {
  const path = join(dir, savedParts.deviceState);
  await using file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(state);
    await file.sync();
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  return { deviceStateSha256: digestOf(state) };
}

/**
 * A device state that is damaged might be loaded all the same, and be another machine's.
 *
 * @throws {WrennError} `snapshot_corrupt`.
 */
export async function checkDeviceState(
  file: FileHandle,
  { deviceStatePath, deviceStateSha256 }: MachineSnapshot,
): Promise<void> {
  if (deviceStateSha256 === undefined) return;
  if (digestOf(await readDeviceState(file)) === deviceStateSha256) return;
  throw new WrennError("snapshot_corrupt", `${deviceStatePath} is not the device state that was saved`);
}

function digestOf(state: Buffer): string {
  return createHash("sha256").update(state).digest("hex");
}
