import { randomBytes } from "node:crypto";
import type { Machine } from "../vmm/vmm.ts";
import type { GuestIdentity } from "./guest-agent.ts";

/**
 * Epochs count what the memory of a machine has been restored as. It knows the newest, and refuses one that is not newer;
 * so whoever keeps the memory keeps the number, and goes on from there. A boot is the first.
 */
export const bootEpoch = 1;

/** What is told of a machine that is to be a computer of its own. */
export interface NewComputer {
  readonly kind: "boot" | "clone";
  /** Larger than that of any restore that the machine's memory has seen. */
  readonly restoreEpoch: number;
  readonly hostname: string;
  readonly accessToken: string;
}

/**
 * What makes a machine a computer of its own: a clone shares everything with its siblings until it is told who it is. A
 * machine without a kernel of its own gets the token alone.
 */
export function newIdentity(machine: Machine, computer: NewComputer): GuestIdentity {
  const { kind, restoreEpoch, hostname, accessToken } = computer;
  if (!machine.ownsKernel) return { accessToken };
  const machineId = randomBytes(16).toString("hex");
  return { accessToken, computer: { kind, restoreEpoch, hostname, machineId, randomSeed: randomSeed() } };
}

/** What a computer is told that goes on where it was: what its clock and its random pool could not know. */
export function sameIdentity(machine: Machine, restoreEpoch: number, accessToken: string): GuestIdentity {
  if (!machine.ownsKernel) return { accessToken };
  return { accessToken, computer: { kind: "resume", restoreEpoch, randomSeed: randomSeed() } };
}

/** Base64, for the kernel's random pool. */
function randomSeed(): string {
  return randomBytes(64).toString("base64");
}
