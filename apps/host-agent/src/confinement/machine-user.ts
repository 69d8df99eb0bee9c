/**
 * First of the users that machines run as: above what distributions, subordinate ids of containers and directory
 * services hand out, below 2^31, which some programs take for a signed number.
 */
const firstUid = 1_900_000_000;

/** User (and group) of the machine in a slot. It has no name, no home, and owns no file that lasts. */
export function machineUid(slotIndex: number): number {
  return firstUid + slotIndex;
}
