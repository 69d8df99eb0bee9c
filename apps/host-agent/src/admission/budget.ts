import type { AgentConfig } from "../config.ts";
import type { Budget } from "./admission.ts";
import { totalMemoryMib } from "./host-readings.ts";

/** What capsules may take of this host, by its configuration. */
export function budgetOf(config: AgentConfig): Budget {
  const { memoryOvercommit, memoryReserveMib, diskReserveMib, maxCapsules: maxMachines } = config;
  const promisedMib = Math.floor(totalMemoryMib() * memoryOvercommit);
  return { promisedMib, memoryReserveMib, diskReserveMib, maxMachines };
}
