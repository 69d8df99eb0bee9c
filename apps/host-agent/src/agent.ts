import { realpath } from "node:fs/promises";
import { type Draining, type Lifetime, type Logger, lockDirectory } from "@wrenn/daemon";
import { Admission } from "./admission/admission.ts";
import { budgetOf } from "./admission/budget.ts";
import { hostReadings } from "./admission/host-readings.ts";
import { openCapsules } from "./capsules/open-capsules.ts";
import type { CapsuleService } from "./capsules/service.ts";
import type { AgentConfig } from "./config.ts";
import { linkToControlPlane } from "./control-plane-link.ts";
import { Journal, type JournalContents, type JournalObserver } from "./journal/journal.ts";
import { type Layout, layoutOf, makeDirectories } from "./layout.ts";
import { AgentMetrics } from "./metrics/metrics.ts";
import { serveMetrics } from "./metrics/metrics-server.ts";
import { openSlots } from "./network/open-slots.ts";
import type { SlotPool } from "./network/slot-pool.ts";
import { readRegistration } from "./registration/ensure-registered.ts";
import { ChangeLog } from "./reports/change-log.ts";
import { nextEpoch } from "./reports/epoch.ts";
import type { Reporter } from "./reports/reporter.ts";
import { serve } from "./server.ts";
import { TemplateStore } from "./templates/template-store.ts";
import { openVmm } from "./vmm/open-vmm.ts";

export interface Agent {
  /** The port it serves on. */
  readonly port: number;
  /** Waits until the control plane knows this host as it is, but no longer than `ms`. */
  reported(ms: number): Promise<void>;
  /** Pauses or destroys every capsule, and tells the control plane. */
  drain(how: Draining): Promise<void>;
}

/** How long the control plane may take to hear that the capsules of a drained host have ended. */
const drainReportMs = 10_000;

/**
 * Starts the agent; what it holds is released with the lifetime. Capsules are not: they run on.
 *
 * @param observe is told of each step of an operation.
 */
export async function runAgent(
  config: AgentConfig,
  lifetime: Lifetime,
  logger: Logger,
  observe?: JournalObserver,
): Promise<Agent> {
  const { stack, signal } = lifetime;
  await makeDirectories(layoutOf(config.wrennDir));
  const layout = layoutOf(await realpath(config.wrennDir), config.archiveDir);
  stack.use(await lockDirectory(layout.root, "agent"));
  const registration = await readRegistration(layout, config.registrationToken);
  const vmm = await openVmm({ config, layout, stack, logger, signal });
  const journal = new Journal(layout.journal, logger, observe);
  // Before anything is touched: a journal that this agent does not understand ends it here.
  const contents = await journal.load();
  const slots =
    vmm.network === "slot" ? stack.use(await slotsOf(contents, layout, lifetime, logger)) : undefined;
  const metrics = new AgentMetrics();
  const changes = new ChangeLog(await nextEpoch(layout.epoch, logger));
  const templates = new TemplateStore(layout.images);
  const admission = new Admission(budgetOf(config), hostReadings(layout.root));
  const parts = { layout, vmm, slots, templates, admission, journal, changes, metrics, logger, signal };
  const { poolSize, pools } = config;
  const capsules = await openCapsules({ ...parts, poolSize, pools }, contents, stack);
  const epoch = String(changes.epoch);
  const server = stack.use(await serve(config.listen, { capsules, templates, vmm, epoch, metrics, logger }));
  const linked = { config, layout, registration, server, changes, metrics, logger };
  let reporter: Reporter | undefined;
  const isReported = () => reporter?.acknowledged ?? false;
  // Before the host is registered: what keeps this agent from starting must not use a token up.
  await openMetrics({ config, capsules, isReported, slots, admission, metrics, logger }, stack);
  reporter = await linkToControlPlane(linked, lifetime);
  logger.info({ port: server.port, vmm: vmm.name, vmmVersion: vmm.version, epoch }, "agent serves");
  return {
    port: server.port,
    reported: (ms) => reporter.flush(ms),
    async drain(how) {
      await capsules.drain(how);
      await reporter.flush(drainReportMs);
    },
  };
}

async function slotsOf(
  { records, unreadable }: JournalContents,
  { root }: Layout,
  { signal }: Lifetime,
  logger: Logger,
): Promise<SlotPool> {
  const indexes = [...records, ...unreadable].flatMap(({ slotIndex }) => slotIndex ?? []);
  const keepUnnamed = unreadable.length > 0;
  return await openSlots({ root, named: new Set(indexes), keepUnnamed, logger, signal });
}

interface Observed {
  readonly config: AgentConfig;
  readonly capsules: CapsuleService;
  /** Whether the control plane has acknowledged a report. */
  readonly isReported: () => boolean;
  readonly slots: SlotPool | undefined;
  readonly admission: Admission;
  readonly metrics: AgentMetrics;
  readonly logger: Logger;
}

/** Serves what an operator watches, unless that is off. */
async function openMetrics(observed: Observed, stack: AsyncDisposableStack): Promise<void> {
  const { config, capsules, isReported, slots, admission, metrics, logger } = observed;
  metrics.watchCapsules(() => capsules.list().map(({ state }) => state));
  if (slots) metrics.watchSlots(() => ({ ready: slots.readyCount, used: slots.takenCount }));
  metrics.watchPool(() => capsules.waitingMachines);
  metrics.watchRoom(() => admission);
  const missing = () => [
    ...(isReported() ? [] : ["the control plane has not acknowledged a report"]),
    ...(slots?.readyCount === 0 ? ["no network slot is ready"] : []),
  ];
  if (config.metricsListen) stack.use(await serveMetrics(config.metricsListen, { metrics, missing, logger }));
}
