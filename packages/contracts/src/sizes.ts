/**
 * Sizes a capsule can have. A memory snapshot fixes vCPUs and memory, so the list is bounded: each pair costs a
 * host one boot and one snapshot.
 */
export const vcpuChoices = [1, 2, 4, 8] as const;
export const memoryMibChoices = [256, 512, 1024, 2048, 4096, 8192] as const;

export const defaultVcpus = 1;
export const defaultMemoryMib = 512;

/** Largest disk of a capsule, in MiB. It takes what is written to it and no more. */
export const maxDiskMib = 1024 * 1024;

export interface CapsuleSize {
  vcpus: number;
  memoryMib: number;
}

/** The first part of the size that is not in the list, with the list; undefined for a size that can be had. */
export function sizeProblem(
  size: CapsuleSize,
): { part: keyof CapsuleSize; choices: readonly number[] } | undefined {
  if (!vcpuChoices.some((choice) => choice === size.vcpus)) return { part: "vcpus", choices: vcpuChoices };
  if (!memoryMibChoices.some((choice) => choice === size.memoryMib)) {
    return { part: "memoryMib", choices: memoryMibChoices };
  }
  return undefined;
}
