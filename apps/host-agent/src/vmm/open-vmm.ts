import type { AgentConfig } from "../config.ts";
import { QemuDriver } from "./qemu/qemu-driver.ts";
import { SimulatedDriver } from "./simulated/simulated-driver.ts";
import type { Vmm } from "./vmm.ts";

/** The driver that the configuration asks for; `auto` is the best one that works here. */
export async function openVmm(config: AgentConfig): Promise<Vmm> {
  if (config.vmm === "simulated") return new SimulatedDriver(config.envdBinary);
  return await QemuDriver.open();
}
