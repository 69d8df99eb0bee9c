import type { CapsuleSize } from "@wrenn/contracts";
import type { NetworkSlot } from "../network/slot.ts";
import type { Command } from "./confine.ts";

/** What tells one machine from another where it is confined. */
export type Place = Pick<NetworkSlot, "index" | "uid" | "namespacePath">;

/** A file that a machine that runs can open, until it is disposed of. What the machine has opened by then stays open. */
export interface HandedOver extends AsyncDisposable {
  /** As the machine names it. */
  readonly path: string;
}

/** Keeps the processes of machines from everything that is not theirs, as well as this host and this user can. */
export interface Confiner extends AsyncDisposable {
  /** One sentence for each thing that it does not keep them from. */
  readonly missing: readonly string[];
  /**
   * The command that runs a machine's program confined.
   * @param fileBytes size of the largest file that it has to write.
   */
  confine(program: Command, place: Place, size: CapsuleSize, fileBytes: number): Promise<Command>;
  /** Lets a machine that runs open one file by the last part of its path, for reading or for both. */
  handOver(path: string, place: Place, access: "read" | "write"): Promise<HandedOver>;
  /** Takes down what was put up for a machine that has ended. */
  release(place: Place): Promise<void>;
}
