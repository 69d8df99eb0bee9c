import { createHash, randomUUID } from "node:crypto";
import { realpath } from "node:fs/promises";
import { type Lifetime, type Logger, lockDirectory } from "@wrenn/daemon";
import { reapLeftovers } from "./capsules/reap.ts";
import { CapsuleService } from "./capsules/service.ts";
import type { AgentConfig } from "./config.ts";
import { loadHostToken } from "./host/host-token.ts";
import { type Layout, layoutOf, makeDirectories } from "./layout.ts";
import { HostRules } from "./network/host-rules.ts";
import { findNameserver } from "./network/nameserver.ts";
import { SlotPool } from "./network/slot-pool.ts";
import { SlotRegister } from "./network/slot-register.ts";
import { serve } from "./server.ts";
import { BootSnapshots } from "./templates/boot-snapshots.ts";
import { TemplateStore } from "./templates/template-store.ts";
import { openVmm } from "./vmm/open-vmm.ts";

/** Starts the agent; what it holds is released with the lifetime. @returns the port it serves on. */
export async function runAgent(config: AgentConfig, lifetime: Lifetime, logger: Logger): Promise<number> {
  const { stack, signal } = lifetime;
  await makeDirectories(layoutOf(config.wrennDir));
  const layout = layoutOf(await realpath(config.wrennDir));
  stack.use(await lockDirectory(layout.root, "agent"));
  const vmm = await openVmm(config);
  await reapLeftovers(layout, logger);
  const slots = vmm.network === "slot" ? await openSlots(layout, lifetime, logger) : undefined;

  const templates = new TemplateStore(layout.images);
  const snapshots = new BootSnapshots({ layout, templates, vmm, slots, logger, signal });
  const capsules = stack.use(new CapsuleService({ layout, vmm, slots, snapshots, logger, signal }));
  const token = await loadHostToken(layout.hostToken);
  const epoch = randomUUID();
  const server = stack.use(await serve(config.listen, { capsules, templates, vmm, epoch, token, logger }));
  logger.info({ port: server.port, vmm: vmm.name, vmmVersion: vmm.version, epoch }, "agent serves");
  return server.port;
}

async function openSlots(layout: Layout, lifetime: Lifetime, logger: Logger): Promise<SlotPool> {
  const instance = createHash("sha256").update(layout.root).digest("hex").slice(0, 8);
  const nameserver = await findNameserver();
  const rules = lifetime.stack.use(await HostRules.open(instance, nameserver, lifetime.signal));
  const register = new SlotRegister(layout.root);
  return lifetime.stack.use(await SlotPool.open({ register, rules, nameserver, logger }));
}
