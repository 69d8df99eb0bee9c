import type { Logger } from "@wrenn/daemon";
import { instanceOf } from "../layout.ts";
import { HostRules } from "./host-rules.ts";
import { findNameserver } from "./nameserver.ts";
import { type NetworkSlot, namespaceExists, slotOf } from "./slot.ts";
import { SlotPool } from "./slot-pool.ts";
import { SlotRegister } from "./slot-register.ts";

export interface OpenSlotsOptions {
  /** The agent's data directory: what tells its slots and rules from those of another agent of the machine. */
  readonly root: string;
  /** Slots that capsules of an earlier life may have. */
  readonly named: ReadonlySet<number>;
  /** Whether slots that nothing names are kept all the same: a capsule that cannot be asked may have them. */
  readonly keepUnnamed: boolean;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** The slots of this agent, with the rules that they are behind. What an earlier life of it left is sorted first. */
export async function openSlots(options: OpenSlotsOptions): Promise<SlotPool> {
  const { root, named, keepUnnamed, logger, signal } = options;
  const register = new SlotRegister(root);
  await register.removeUnfinished();
  const present: NetworkSlot[] = [];
  for (const index of await register.mine()) {
    if (await namespaceExists(slotOf(index))) present.push(slotOf(index));
    else await register.release(index);
  }
  const isTaken = ({ index }: NetworkSlot) => keepUnnamed || named.has(index);
  const taken = present.filter(isTaken);
  const orphans = present.filter((slot) => !isTaken(slot));
  const nameserver = await findNameserver();
  const rules = await HostRules.open(instanceOf(root), nameserver, present, signal);
  return SlotPool.open({ register, rules, nameserver, logger, taken, orphans });
}
