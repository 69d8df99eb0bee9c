import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { bootEpoch } from "../guest/identity.ts";
import type { LayerStore } from "../layers/layer-store.ts";
import { type BootOptions, bootMachine } from "../templates/boot-machine.ts";
import { findKernel } from "../templates/kernel.ts";
import { savedParts } from "../vmm/frozen.ts";
import type { SnapshotFacts } from "./snapshot-draft.ts";
import type { SnapshotStore } from "./snapshot-store.ts";

export interface DiskStartsOptions extends Omit<BootOptions, "signal"> {
  readonly snapshots: SnapshotStore;
  readonly layers: LayerStore;
}

/** What is known of a machine that has ended. */
export type DeadMachine = Omit<SnapshotFacts, "kind" | "token" | "deviceStateSha256">;

/**
 * The last resort for a capsule whose memory is gone, or cannot be restored here: its kernel is started on the disk that
 * is left. What programs had in memory is lost, as when a computer loses power.
 */
export class DiskStarts {
  readonly #options: DiskStartsOptions;

  constructor(options: DiskStartsOptions) {
    this.#options = options;
  }

  /** Makes a snapshot of the disk that an ended machine has left. Nothing is restored from it, only started. */
  async keep(id: string, machine: DeadMachine): Promise<void> {
    await using draft = await this.#options.snapshots.begin(id);
    await draft.commit({ ...machine, kind: "pause", token: "", deviceStateSha256: "" });
  }

  /**
   * Boots the disk of a snapshot, which the caller holds, into a new snapshot of the same capsule. A machine that is
   * restored from that is the capsule after a restart.
   *
   * @throws {WrennError} `snapshot_corrupt` when the disk does not boot.
   */
  async start(id: string, newSnapshotId: string, holder: string, signal: AbortSignal): Promise<void> {
    const { layout, vmm, snapshots, layers } = this.#options;
    const kernel = await findKernel(layout.kernels);
    const { memoryMib, vcpus, diskLayers, capsule, template, diskBytes, ...old } = await snapshots.disk(
      id,
      signal,
    );
    const size = { vcpus, memoryMib };
    await using draft = await snapshots.begin(newSnapshotId);
    await using unused = new AsyncDisposableStack();
    const diskPath = layers.newPath();
    const starting = `start:${newId("operation")}`;
    unused.defer(() => layers.release(diskPath, starting));
    layers.hold(diskPath, starting);
    const token = randomBytes(32).toString("hex");
    const failure = { code: "snapshot_corrupt", what: `the disk of snapshot ${id}` } as const;
    const boot = { kernel, size, diskLayers, diskPath, dir: draft.dir, token, failure };
    const guest = await bootMachine(boot, { ...this.#options, signal });
    const state = await readFile(join(draft.dir, savedParts.deviceState));
    await draft.commit({
      ...{ kind: "pause", holder, capsule, template, size, diskBytes, token },
      versions: { ...old.versions, ...guest, vmm: vmm.name, vmmVersion: vmm.version },
      restoreEpoch: bootEpoch,
      source: id,
      ownLayers: [diskPath],
      deviceStateSha256: createHash("sha256").update(state).digest("hex"),
    });
  }
}
