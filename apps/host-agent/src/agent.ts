import { realpath } from "node:fs/promises";
import { type Lifetime, type Logger, lockDirectory } from "@wrenn/daemon";
import type { HostParts } from "./capsules/host-parts.ts";
import { reapOrphans } from "./capsules/reap.ts";
import { recoverCapsules } from "./capsules/recover.ts";
import { CapsuleService } from "./capsules/service.ts";
import type { AgentConfig } from "./config.ts";
import { loadHostToken } from "./host/host-token.ts";
import { Journal, type JournalContents, type JournalObserver } from "./journal/journal.ts";
import { type Layout, layoutOf, makeDirectories } from "./layout.ts";
import { openSlots } from "./network/open-slots.ts";
import type { SlotPool } from "./network/slot-pool.ts";
import { ChangeLog } from "./reports/change-log.ts";
import { serve } from "./server.ts";
import { BootSnapshots } from "./templates/boot-snapshots.ts";
import { TemplateStore } from "./templates/template-store.ts";
import { openVmm } from "./vmm/open-vmm.ts";

export interface Agent {
  /** The port it serves on. */
  readonly port: number;
  /** Ends every capsule: the host is given up, or the platform that it belongs to. */
  drain(): Promise<void>;
}

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
  const layout = layoutOf(await realpath(config.wrennDir));
  stack.use(await lockDirectory(layout.root, "agent"));
  const vmm = await openVmm({ config, layout, stack, logger, signal });
  const journal = new Journal(layout.journal, logger, observe);
  // Before anything is touched: a journal that this agent does not understand ends it here.
  const contents = await journal.load();
  const slots =
    vmm.network === "slot" ? stack.use(await slotsOf(contents, layout, lifetime, logger)) : undefined;
  await reapOrphans(layout, contents, logger);

  const changes = new ChangeLog(Date.now());
  const parts: HostParts = { layout, vmm, slots, journal, changes, logger, signal };
  const templates = new TemplateStore(layout.images);
  const snapshots = new BootSnapshots({ ...parts, templates });
  const recovered = await recoverCapsules(contents, parts);
  const capsules = stack.use(new CapsuleService({ ...parts, snapshots }, recovered));
  const token = await loadHostToken(layout.hostToken);
  const epoch = String(changes.epoch);
  const server = stack.use(await serve(config.listen, { capsules, templates, vmm, epoch, token, logger }));
  logger.info({ port: server.port, vmm: vmm.name, vmmVersion: vmm.version, epoch }, "agent serves");
  return { port: server.port, drain: () => capsules.drain() };
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
