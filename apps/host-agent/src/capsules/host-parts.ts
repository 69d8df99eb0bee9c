import type { Logger } from "@wrenn/daemon";
import type { Admission } from "../admission/admission.ts";
import type { Journal } from "../journal/journal.ts";
import type { LayerStore } from "../layers/layer-store.ts";
import type { Layout } from "../layout.ts";
import type { AgentMetrics } from "../metrics/metrics.ts";
import type { SlotPool } from "../network/slot-pool.ts";
import type { CapsulePool } from "../pool/capsule-pool.ts";
import type { ChangeLog } from "../reports/change-log.ts";
import type { DiskStarts } from "../snapshots/disk-starts.ts";
import type { SnapshotArchive } from "../snapshots/snapshot-archive.ts";
import type { SnapshotStore } from "../snapshots/snapshot-store.ts";
import type { BootSnapshots } from "../templates/boot-snapshots.ts";
import type { Vmm } from "../vmm/vmm.ts";

/** What capsules are made of and noted in, on this host. */
export interface HostParts {
  readonly layout: Layout;
  readonly vmm: Vmm;
  /** Absent when the driver brings a network of its own. */
  readonly slots: SlotPool | undefined;
  readonly layers: LayerStore;
  readonly snapshots: SnapshotStore;
  /** Snapshots that are put away. */
  readonly archive: SnapshotArchive;
  /** Starts capsules from their disks. */
  readonly diskStarts: DiskStarts;
  readonly boots: BootSnapshots;
  readonly admission: Admission;
  /** Machines that wait for a create. */
  readonly pool: CapsulePool;
  readonly journal: Journal;
  readonly changes: ChangeLog;
  readonly metrics: AgentMetrics;
  readonly logger: Logger;
  /** Aborted when the agent ends; of an operation, also when its capsule is destroyed. */
  readonly signal: AbortSignal;
}
