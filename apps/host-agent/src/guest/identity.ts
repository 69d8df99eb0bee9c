import { randomBytes } from "node:crypto";
import type { Machine } from "../vmm/vmm.ts";
import type { GuestIdentity } from "./guest-agent.ts";

/**
 * Epochs count what the memory of a machine has been restored as. It knows the newest, and refuses one that is not newer;
 * so whoever keeps the memory keeps the number, and goes on from there.
 */
const epochs = { boot: 1, clone: 2 } as const;

/**
 * What makes a machine a computer of its own: a clone of a boot snapshot shares everything with its siblings until it is
 * told who it is. A machine without a kernel of its own gets the token alone.
 */
export function newIdentity(
  machine: Machine,
  kind: "boot" | "clone",
  hostname: string,
  accessToken: string,
): GuestIdentity {
  if (!machine.ownsKernel) return { accessToken };
  return {
    accessToken,
    computer: {
      kind,
      restoreEpoch: epochs[kind],
      hostname,
      machineId: randomBytes(16).toString("hex"),
      randomSeed: randomBytes(64).toString("base64"),
    },
  };
}
