import type { Logger } from "@wrenn/daemon";
import type { AgentConfig } from "../config.ts";
import { Walls } from "../confinement/walls.ts";
import { QemuDriver } from "./qemu/qemu-driver.ts";
import { SimulatedDriver } from "./simulated/simulated-driver.ts";
import type { Vmm } from "./vmm.ts";

/**
 * The driver that the configuration asks for; `auto` is the best one that works here.
 * @param instance tells this agent from another on the same machine.
 * @param stack owns what the driver needs as long as it starts machines.
 */
export async function openVmm(
  config: AgentConfig,
  instance: string,
  stack: AsyncDisposableStack,
  logger: Logger,
  signal: AbortSignal,
): Promise<Vmm> {
  if (config.vmm === "simulated") return new SimulatedDriver(config.envdBinary);
  const walls = stack.use(await Walls.open(instance, signal));
  for (const sentence of walls.missing) logger.warn(sentence);
  return await QemuDriver.open(walls);
}
