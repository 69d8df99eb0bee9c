import { randomBytes } from "node:crypto";
import type { Machine } from "../vmm/vmm.ts";
import type { GuestIdentity } from "./guest-agent.ts";

/**
 * What makes a machine a computer of its own: a clone of a snapshot shares everything with its siblings until it is
 * told who it is. A machine without a kernel of its own gets the token alone.
 */
export function newIdentity(machine: Machine, hostname: string, accessToken: string): GuestIdentity {
  if (!machine.ownsKernel) return { accessToken };
  return {
    accessToken,
    hostname,
    machineId: randomBytes(16).toString("hex"),
    randomSeed: randomBytes(64).toString("base64"),
    timestamp: new Date().toISOString(),
  };
}
