import type { Place } from "../../confinement/confiner.ts";
import { guestAgentPort, tapName } from "../../network/addresses.ts";
import { passtSocket, startPasst } from "../../network/passt.ts";
import type { MachineSpec } from "../vmm.ts";

/** How a guest is connected, in the words of QEMU and of who dials it. Disposed of when the machine did not start. */
export interface MachineNetwork extends AsyncDisposable {
  /** Value of `-netdev`, without the id. */
  readonly netdev: string;
  /** Base URL of the guest agent. */
  readonly guestUrl: string;
  readonly place: Place;
}

/** The TAP device of the machine's slot, or a passt of its own. */
export async function connectMachine(
  kind: "slot" | "passt",
  { slot, runDir }: MachineSpec,
  signal: AbortSignal,
): Promise<MachineNetwork> {
  if (kind === "passt") {
    const passt = await startPasst(runDir, signal);
    return {
      netdev: `stream,server=off,addr.type=unix,addr.path=${passtSocket}`,
      guestUrl: `http://127.0.0.1:${passt.port}`,
      place: placeOf(kind, slot),
      [Symbol.asyncDispose]: () => passt[Symbol.asyncDispose](),
    };
  }
  if (!slot) throw new RangeError("this machine needs a network slot");
  return {
    netdev: `tap,ifname=${tapName},script=no,downscript=no,vnet_hdr=off`,
    guestUrl: `http://${slot.guestAddress}:${guestAgentPort}`,
    place: slot,
    // The slot is the caller's.
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Where a machine is, by the slot that it has. */
export function placeOf(kind: "slot" | "passt", slot: MachineSpec["slot"]): Place {
  if (kind === "passt") return { index: 0, uid: process.getuid?.() ?? 0, namespacePath: "/proc/self/ns/net" };
  if (!slot) throw new RangeError("this machine needs a network slot");
  return slot;
}
