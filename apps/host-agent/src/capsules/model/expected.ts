import { type CapsuleState, newId } from "@wrenn/contracts";

/** Most capsules at once, and most snapshots. */
export const mostCapsules = 6;
export const mostSnapshots = 3;

export const pageBytes = 4096;

/** Bytes of every simulated guest's memory. */
export const memoryBytes = 16 * pageBytes;

/** What a guest has: all of its memory, and its disk. */
export interface Contents {
  readonly memory: Buffer;
  readonly disk: Buffer;
}

/** What a capsule has to be. */
export interface ExpectedCapsule {
  readonly id: string;
  readonly state: CapsuleState;
  /** Of the newest command. */
  readonly generation: number;
  /** The newest that was seen: it never goes back. */
  readonly revision: number;
  readonly contents: Contents;
}

/** What a host has to have: the model that the agent is compared with. */
export class Expected {
  readonly #capsules = new Map<string, ExpectedCapsule>();

  /** What is offered to create capsules from, by id. */
  readonly snapshots = new Map<string, Contents>();

  get capsules(): ExpectedCapsule[] {
    return [...this.#capsules.values()];
  }

  get(id: string): ExpectedCapsule | undefined {
    return this.#capsules.get(id);
  }

  /** The one that a number stands for among those in one of the states; undefined when there is none. */
  pick(choice: number, ...states: readonly CapsuleState[]): ExpectedCapsule | undefined {
    const eligible = this.capsules.filter(({ state }) => states.length === 0 || states.includes(state));
    return eligible[choice % eligible.length];
  }

  /** As {@link pick}, among the snapshots. */
  pickSnapshot(choice: number): string | undefined {
    return [...this.snapshots.keys()][choice % this.snapshots.size];
  }

  /** A capsule that is not there yet. */
  newcomer(contents: Contents): ExpectedCapsule {
    return { id: newId("capsule"), state: "running", generation: 1, revision: 0, contents: copyOf(contents) };
  }

  put(capsule: ExpectedCapsule): void {
    this.#capsules.set(capsule.id, capsule);
  }

  change(id: string, changes: Partial<ExpectedCapsule>): void {
    const present = this.#capsules.get(id);
    if (!present) throw new Error(`the model has no capsule ${id}`);
    this.#capsules.set(id, { ...present, ...changes });
  }

  remove(id: string): void {
    this.#capsules.delete(id);
  }
}

/** What a template has when it was booted. */
export const bootContents: Contents = { memory: Buffer.alloc(memoryBytes), disk: Buffer.alloc(0) };

export function copyOf({ memory, disk }: Contents): Contents {
  return { memory: Buffer.from(memory), disk: Buffer.from(disk) };
}
