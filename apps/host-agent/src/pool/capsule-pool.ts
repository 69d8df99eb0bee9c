import { defaultMemoryMib, defaultVcpus } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import type { Admission } from "../admission/admission.ts";
import type { RestoreSource } from "../snapshots/restore-source.ts";
import { BootSnapshots } from "../templates/boot-snapshots.ts";
import { MachinePool } from "./machine-pool.ts";
import type { PoolSizes } from "./pool-sizes.ts";
import { PooledMachine, type PooledMachineParts } from "./pooled-machine.ts";

/** Machines that wait for a capsule to be created. */
export type CapsulePool = MachinePool<RestoreSource, PooledMachine>;

export interface CapsulePoolOptions extends PooledMachineParts {
  readonly admission: Admission;
  /** Machines that wait for each base template, and for single ones of them. */
  readonly poolSize: number;
  readonly pools: PoolSizes;
  readonly logger: Logger;
}

/** A pool for every base template, at the size that a capsule has unless another is asked for. */
export function openCapsulePool(options: CapsulePoolOptions): CapsulePool {
  const { admission, poolSize, pools, logger } = options;
  const pool: CapsulePool = new MachinePool({
    sizeOf: (source) => (isCommon(source) ? (pools.get(source.template) ?? poolSize) : 0),
    make: async (source, signal) => {
      const reservation = await admission.admitSpare(source.size);
      return reservation && (await PooledMachine.make(source, reservation, options, signal));
    },
    logger,
  });
  admission.reclaim = () => pool.reclaim();
  return pool;
}

function isCommon({ id, size }: RestoreSource): boolean {
  return BootSnapshots.isOne(id) && size.vcpus === defaultVcpus && size.memoryMib === defaultMemoryMib;
}
