import type { Logger } from "@wrenn/daemon";
import { Authority } from "./authority/authority.ts";
import { loadAuthority } from "./authority/load.ts";
import { BackgroundTasks } from "./background-tasks.ts";
import { Activity } from "./capsules/activity.ts";
import { CapsuleOperations } from "./capsules/operations.ts";
import { CapsuleService } from "./capsules/service.ts";
import { CapsuleStore } from "./capsules/store.ts";
import { CapsuleUpdates } from "./capsules/update.ts";
import type { ControlPlaneConfig } from "./config.ts";
import type { Database } from "./database/connect.ts";
import { Hosts } from "./hosts/hosts.ts";
import { HostService } from "./hosts/service.ts";
import { IdempotencyKeys } from "./idempotency/keys.ts";
import { IdempotencyStore } from "./idempotency/store.ts";
import { Metrics } from "./metrics/metrics.ts";
import { Replica } from "./replicas/replica.ts";
import { ReportService } from "./reports/service.ts";
import type { SettlerParts } from "./reports/settler.ts";
import { SnapshotService } from "./snapshots/service.ts";
import type { SettleSnapshotsParts } from "./snapshots/settle.ts";
import { SnapshotStore } from "./snapshots/store.ts";
import { namesServed } from "./tls-listener.ts";

export interface Services {
  activity: Activity;
  authority: Authority;
  background: BackgroundTasks;
  capsules: CapsuleService;
  capsuleUpdates: CapsuleUpdates;
  hostService: HostService;
  idempotency: IdempotencyKeys;
  reports: ReportService;
  metrics: Metrics;
  snapshots: SnapshotService;
  /** What the settler works with. */
  settling: SettlerParts;
  settlingSnapshots: SettleSnapshotsParts;
}

export type ServicesConfig = Pick<ControlPlaneConfig, "encryptionKey" | "tlsListenAddress" | "tlsNames">;

/** Wires the services on a database that is ready. What they hold is released with the stack. */
export async function openServices(
  database: Database,
  config: ServicesConfig,
  logger: Logger,
  stack: AsyncDisposableStack,
): Promise<Services> {
  const { kysely } = database;
  const identity = await loadAuthority(kysely, config.encryptionKey);
  const names = [...namesServed(config.tlsListenAddress), ...config.tlsNames];
  const authority = await Authority.open(identity, names);
  const replica = stack.use(await Replica.join(kysely, logger));
  const background = stack.use(new BackgroundTasks(logger));
  const hosts = stack.use(new Hosts(kysely, authority, background));
  const store = new CapsuleStore(kysely, replica.id);
  const snapshots = new SnapshotStore(kysely, replica.id);
  const activity = stack.use(new Activity(kysely, logger));
  const operations = stack.use(new CapsuleOperations());
  const metrics = new Metrics(database);
  const settlingSnapshots = { snapshots, store, hosts, operations, logger };
  const capsules = new CapsuleService({ store, snapshots, hosts, operations, activity, metrics });
  return {
    activity,
    authority,
    background,
    capsules,
    capsuleUpdates: new CapsuleUpdates({ capsules, store, hosts, activity }),
    hostService: new HostService(kysely, authority, hosts),
    idempotency: new IdempotencyKeys(new IdempotencyStore(kysely, replica.id)),
    reports: new ReportService({ kysely, hosts, store, snapshots, operations, background, metrics }),
    metrics,
    snapshots: new SnapshotService({ snapshots, store, hosts, operations, background, metrics }),
    settling: { hosts, store, operations, logger },
    settlingSnapshots,
  };
}
