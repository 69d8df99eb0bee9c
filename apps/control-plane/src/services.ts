import { join } from "node:path";
import type { Logger } from "@wrenn/daemon";
import { type Kysely, sql } from "kysely";
import { BackgroundTasks } from "./background-tasks.ts";
import { Activity } from "./capsules/activity.ts";
import { CapsuleOperations } from "./capsules/operations.ts";
import { CapsuleService } from "./capsules/service.ts";
import { CapsuleStore } from "./capsules/store.ts";
import type { ControlPlaneConfig } from "./config.ts";
import type { Schema } from "./database/schema.ts";
import { AgentClient } from "./hosts/agent-client.ts";
import type { ReconcileParts } from "./hosts/reconcile.ts";
import { Host, Hosts } from "./hosts/service.ts";
import { registerHost } from "./hosts/store.ts";

export interface Services {
  capsules: CapsuleService;
  background: BackgroundTasks;
  activity: Activity;
  /** What the reconciler works with. */
  reconciling: ReconcileParts;
}

/** Wires the services on a database that is ready. What they hold is released with the stack. */
export async function openServices(
  kysely: Kysely<Schema>,
  config: Pick<ControlPlaneConfig, "wrennDir" | "hostAgentUrl">,
  logger: Logger,
  stack: AsyncDisposableStack,
): Promise<Services> {
  const background = stack.use(new BackgroundTasks(logger));
  const host = await registerHost(kysely, config.hostAgentUrl);
  const agent = new AgentClient(host.address, join(config.wrennDir, "host-token"));
  const hosts = stack.use(new Hosts([new Host(host.id, agent)]));
  const store = new CapsuleStore(kysely);
  const activity = stack.use(new Activity(store, logger));
  const operations = stack.use(new CapsuleOperations());
  return {
    capsules: new CapsuleService({ store, hosts, operations, activity, logger }),
    background,
    activity,
    reconciling: { hosts, store, operations, logger, startedAt: await databaseTime(kysely) },
  };
}

async function databaseTime(db: Kysely<Schema>): Promise<Date> {
  const { rows } = await sql<{ now: Date }>`select now() as now`.execute(db);
  return rows[0]?.now ?? new Date();
}
