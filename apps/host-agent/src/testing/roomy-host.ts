import { Admission, type Budget } from "../admission/admission.ts";
import { hostReadings } from "../admission/host-readings.ts";
import type { OpenOptions } from "../capsules/open-capsules.ts";

/** More room than any test needs. */
export const roomyBudget: Budget = {
  ...{ promisedMib: 1e9, memoryReserveMib: 0, diskReserveMib: 0, maxMachines: 0 },
};

/** A host with more room than any test needs, on which nothing waits. */
export function roomyHost(dir: string): Pick<OpenOptions, "admission" | "poolSize" | "pools"> {
  return { admission: new Admission(roomyBudget, hostReadings(dir)), poolSize: 0, pools: new Map() };
}
