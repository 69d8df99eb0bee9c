import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { abortable } from "../../abortable.ts";
import { readDeviceState } from "../device-state.ts";
import type { FreezeOptions, Frozen } from "../frozen.ts";
import type { PageRuns } from "../memory/page-runs.ts";
import { type FrozenParts, FrozenQemu } from "./frozen-qemu.ts";
import { GuestMemory } from "./guest-memory.ts";
import { PageCopy } from "./page-copy.ts";
import type { QmpClient } from "./qmp-client.ts";

interface StateFile extends AsyncDisposable {
  save(monitor: QmpClient): Promise<Buffer>;
}

/**
 * Stops a guest and takes hold of all that it is. What can be done before the stop is done before. What can fail comes
 * before the disk goes over to its next layer, so a failure leaves the machine as it was.
 */
export async function freezeQemu(
  parts: FrozenParts,
  { nextLayerPath, maxCopyBytes = Number.POSITIVE_INFINITY }: FreezeOptions,
  signal: AbortSignal,
): Promise<Frozen> {
  const { monitor, identity } = parts.qemu;
  signal.throwIfAborted();
  await using undo = new AsyncDisposableStack();
  const memory = undo.use(await GuestMemory.open(identity.pid));
  const layer = nextLayerPath === undefined ? undefined : undo.use(await parts.disk.addLayer(nextLayerPath));
  const expected = layer && atMost(maxCopyBytes, await memory.dirtyPages());
  const copy = expected && (await PageCopy.reserve(expected, maxCopyBytes));
  await using stateFile = await openStateFile(parts);
  await parts.disk.flush();
  signal.throwIfAborted();

  const stoppedAt = performance.now();
  // Commands are obeyed in order: a stop that takes too long is followed by this one, for which nobody has to wait. A
  // guest that cannot go on has ended, and that is noticed by itself.
  undo.defer(() => void monitor.execute("cont").catch(() => {}));
  await abortable(monitor.execute("stop"), signal);
  const deviceState = await abortable(stateFile.save(monitor), signal);
  const runs = await memory.dirtyPages();
  await copy?.fill(memory, atMost(maxCopyBytes, runs));
  signal.throwIfAborted();
  const ownLayers = parts.disk.layers;
  await layer?.goOver();
  undo.move();
  return new FrozenQemu(parts, { stoppedAt, ownLayers, deviceState, memory, runs, copy });
}

/** A file that QEMU can write the state of its devices to, which goes without the memory. */
async function openStateFile({ confiner, place, runDir }: FrozenParts): Promise<StateFile> {
  const path = join(runDir, "device-state");
  await using undo = new AsyncDisposableStack();
  await rm(path, { force: true });
  const file = undo.use(await open(path, "wx+", 0o600));
  undo.defer(() => rm(path, { force: true }));
  const handed = undo.use(await confiner.handOver(path, place, "write"));
  const owned = undo.move();
  const save = async (monitor: QmpClient) => {
    // Despite its name this is QEMU's command for the devices alone; `live` would give up the disk's lock.
    await monitor.execute("xen-save-devices-state", { filename: handed.path, live: false });
    return await readDeviceState(file);
  };
  return { save, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** @throws {WrennError} `host_memory_full`. */
function atMost(maxBytes: number, runs: PageRuns): PageRuns {
  if (runs.bytes <= maxBytes) return runs;
  const sentence = `the machine has changed ${runs.bytes} bytes of its memory, and there is room for a copy of ${maxBytes}`;
  throw new WrennError("host_memory_full", sentence);
}
