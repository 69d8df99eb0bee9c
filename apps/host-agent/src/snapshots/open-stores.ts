import type { Logger } from "@wrenn/daemon";
import { DirectoryArchive } from "../archive/directory-archive.ts";
import type { Held } from "../capsules/held.ts";
import { Flattener } from "../layers/flattener.ts";
import { LayerStore } from "../layers/layer-store.ts";
import { instanceOf } from "../layout.ts";
import type { AgentMetrics } from "../metrics/metrics.ts";
import type { BootOptions } from "../templates/boot-machine.ts";
import { BootSnapshots } from "../templates/boot-snapshots.ts";
import type { TemplateStore } from "../templates/template-store.ts";
import type { ChainLimits } from "./disk-flattening.ts";
import { DiskStarts } from "./disk-starts.ts";
import { processorOf } from "./processor.ts";
import { Scrubber } from "./scrubber.ts";
import { SnapshotArchive } from "./snapshot-archive.ts";
import { SnapshotStore } from "./snapshot-store.ts";

export interface StoresOptions extends BootOptions {
  readonly templates: TemplateStore;
  readonly metrics: AgentMetrics;
  /** How long the chains of disk layers may be. */
  readonly limits?: ChainLimits;
  readonly logger: Logger;
}

/** What capsules are made of on this host's disk. */
export interface Stores {
  readonly layers: LayerStore;
  readonly boots: BootSnapshots;
  readonly snapshots: SnapshotStore;
  readonly archive: SnapshotArchive;
  readonly diskStarts: DiskStarts;
}

/**
 * Finds disk layers and snapshots, and who needs them; what nobody does is removed.
 *
 * @param stack owns the work that goes on in the background.
 */
export async function openStores(
  options: StoresOptions,
  held: Held,
  stack: AsyncDisposableStack,
): Promise<Stores> {
  const { layout, vmm, logger } = options;
  const { keepAll } = held;
  const cpu = await processorOf(vmm.name);
  const layers = LayerStore.open(layout.layers, held.layers);
  const boots = new BootSnapshots({ ...options, cpu, layers });
  const flattener = new Flattener(layout, vmm);
  const store = {
    layout,
    vmm,
    cpu,
    layers,
    boots,
    flattener,
    held: held.snapshots,
    keepAll,
    logger,
    ...(options.limits && { limits: options.limits }),
  };
  const snapshots = stack.use(await SnapshotStore.open(store));
  if (keepAll === undefined) await layers.reap(logger);
  stack.use(new Scrubber(snapshots, logger));
  const directory = await DirectoryArchive.open(layout.archive, instanceOf(layout.root));
  const archive = new SnapshotArchive({ archive: directory, snapshots, layers, flattener });
  const diskStarts = new DiskStarts({ ...options, snapshots, layers });
  return { layers, boots, snapshots, archive, diskStarts };
}
