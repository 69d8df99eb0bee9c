import { type CapsuleSize, WrennError } from "@wrenn/contracts";
import type { HostReadings } from "./host-readings.ts";

/** Memory of a monitor beside its guest's, in MiB: what it usually takes, not what it may. */
export const monitorMib = 64;

/** What capsules may take of this host. */
export interface Budget {
  /** Memory that guests and their monitors may be promised together. More than there is: idle clones share pages. */
  readonly promisedMib: number;
  /** Memory that has to be available, whatever was promised. */
  readonly memoryReserveMib: number;
  /** Disk space that new machines leave to those that run, and to pauses. */
  readonly diskReserveMib: number;
  /** Machines; 0 for no bound. */
  readonly maxMachines: number;
}

/** Room for one machine. Disposing of it gives the room back. */
export interface Reservation extends Disposable {
  readonly size: CapsuleSize;
}

/** Gives up something that nobody uses yet. @returns whether there was something. */
export type Reclaim = () => Promise<boolean>;

/**
 * The host's room for machines. A machine counts with all of the memory that its guest may ever have, not with the little
 * that it has at first; so what was admitted together has room together. Paused capsules have no machine, and take none.
 */
export class Admission {
  readonly #budget: Budget;
  readonly #readings: HostReadings;
  readonly #reservations = new Set<Reservation>();
  #reclaim: Reclaim = async () => false;

  constructor(budget: Budget, readings: HostReadings) {
    this.#budget = budget;
    this.#readings = readings;
  }

  /** Memory that is promised, in MiB. */
  get promisedMib(): number {
    return promisedTo([...this.#reservations].map(({ size }) => size));
  }

  /** Memory that may still be promised, in MiB. */
  get leftMib(): number {
    return Math.max(this.#budget.promisedMib - this.promisedMib, 0);
  }

  /** Machines that there are, or will be. */
  get machines(): number {
    return this.#reservations.size;
  }

  /** How room is made when there is none: what waits to be used is given up before anybody is refused. */
  set reclaim(reclaim: Reclaim) {
    this.#reclaim = reclaim;
  }

  /**
   * Takes room for machines of these sizes, for all of them or none.
   *
   * @throws {WrennError} `host_full`, in words: what is short, and by how much.
   */
  async admit(sizes: readonly CapsuleSize[]): Promise<Reservation[]> {
    for (;;) {
      const { taken, shortage } = await this.#try(sizes);
      if (taken) return taken;
      if (!(await this.#reclaim())) throw new WrennError("host_full", `this host is full: ${shortage}`);
    }
  }

  /** As {@link admit}, for something that may as well be left: undefined when there is no room. */
  async admitSpare(size: CapsuleSize): Promise<Reservation | undefined> {
    return (await this.#try([size])).taken?.[0];
  }

  /** Room for a machine that is there already, whatever the budget. */
  take(size: CapsuleSize): Reservation {
    const reservation: Reservation = {
      size,
      [Symbol.dispose]: () => void this.#reservations.delete(reservation),
    };
    this.#reservations.add(reservation);
    return reservation;
  }

  /** What comes after the readings is done at once, so that nobody else takes the same room. */
  async #try(sizes: readonly CapsuleSize[]): Promise<{ taken?: Reservation[]; shortage?: string }> {
    const [availableMib, freeMib] = await Promise.all([
      this.#readings.availableMemoryMib(),
      this.#readings.freeDiskMib(),
    ]);
    const shortage = this.#shortage(sizes, availableMib, freeMib);
    return shortage === undefined ? { taken: sizes.map((size) => this.take(size)) } : { shortage };
  }

  /** What is missing, in words. */
  #shortage(sizes: readonly CapsuleSize[], availableMib: number, freeMib: number): string | undefined {
    const { memoryReserveMib, diskReserveMib, maxMachines } = this.#budget;
    const needMib = promisedTo(sizes);
    if (needMib > this.leftMib) return missing("memory", needMib, this.leftMib);
    const atOnceMib = memoryReserveMib + sizes.length * monitorMib;
    if (availableMib < atOnceMib) return missing("available memory", atOnceMib, availableMib);
    if (freeMib < diskReserveMib) return missing("disk space", diskReserveMib, freeMib);
    const places = maxMachines - this.machines;
    if (maxMachines === 0 || places >= sizes.length) return undefined;
    return `${sizes.length} more capsules would run, ${Math.max(places, 0)} more may`;
  }
}

function promisedTo(sizes: readonly CapsuleSize[]): number {
  return sizes.reduce((sum, { memoryMib }) => sum + memoryMib + monitorMib, 0);
}

function missing(what: string, neededMib: number, leftMib: number): string {
  return `${neededMib} MiB of ${what} are needed, ${leftMib} MiB are left, ${neededMib - leftMib} MiB are missing`;
}
