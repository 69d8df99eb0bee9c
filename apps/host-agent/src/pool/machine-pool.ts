import type { Logger } from "@wrenn/daemon";

/** What machines are made from, as the pool tells them apart. */
export interface PoolSource {
  readonly id: string;
  readonly template: string;
}

/** A machine that waits. Disposing of it ends it. */
export interface Waiting extends AsyncDisposable {
  /** Resolves when it has ended by itself. */
  readonly exited: Promise<unknown>;
}

export interface MachinePoolOptions<S extends PoolSource, M extends Waiting> {
  /** How many machines shall wait for creates from this source. */
  readonly sizeOf: (source: S) => number;
  /** Makes one; undefined when the host has no room to spare. */
  readonly make: (source: S, signal: AbortSignal) => Promise<M | undefined>;
  readonly logger: Logger;
}

/** The machines of one source. */
interface Shelf<S, M> {
  readonly source: S;
  readonly target: number;
  /** Oldest first. */
  readonly machines: M[];
  /** Machines that have ended by themselves since the source was used last. */
  exits: number;
  /** No more are made until the source is used again: there was no room, or they do not last. */
  resting: boolean;
}

/**
 * Machines that are restored ahead of the create that claims them. It begins with the first create from a source, and
 * is filled again in the background, one machine at a time and never while something is created: who waits goes before
 * who might come.
 */
export class MachinePool<S extends PoolSource, M extends Waiting> implements AsyncDisposable {
  readonly #options: MachinePoolOptions<S, M>;
  readonly #stop = new AbortController();
  readonly #shelves = new Map<string, Shelf<S, M>>();
  readonly #ending = new Set<Promise<void>>();
  #creates = 0;
  #filling: Promise<void> | undefined;

  constructor(options: MachinePoolOptions<S, M>) {
    this.#options = options;
  }

  /** Machines that wait. */
  get readyCount(): number {
    return [...this.#shelves.values()].reduce((sum, { machines }) => sum + machines.length, 0);
  }

  /** Something is being created until what this returns is disposed of. */
  creating(): Disposable {
    this.#creates += 1;
    const stack = new DisposableStack();
    stack.defer(() => {
      this.#creates -= 1;
      this.#fill();
    });
    return stack;
  }

  /** Takes a machine of the source, if one waits: it is the caller's from here on. */
  claim(source: S): M | undefined {
    return this.#shelves.get(source.id)?.machines.shift();
  }

  /** A capsule was created from the source: others may follow. What waits for another state of its template is ended. */
  used(source: S): void {
    const target = this.#options.sizeOf(source);
    if (target === 0 || this.#stop.signal.aborted) return;
    for (const shelf of this.#shelves.values()) {
      if (shelf.source.template !== source.template || shelf.source.id === source.id) continue;
      this.#shelves.delete(shelf.source.id);
      for (const machine of shelf.machines.splice(0)) void this.#end(machine);
    }
    const shelf = this.#shelves.get(source.id);
    if (shelf) Object.assign(shelf, { exits: 0, resting: false });
    else this.#shelves.set(source.id, { source, target, machines: [], exits: 0, resting: false });
    this.#fill();
  }

  /** Ends one that waits, or that is being made, so that there is room. @returns whether there was one. */
  async reclaim(): Promise<boolean> {
    for (const shelf of this.#shelves.values()) shelf.resting = true;
    await this.#filling;
    const full = [...this.#shelves.values()].find(({ machines }) => machines.length > 0);
    const machine = full?.machines.shift();
    if (!machine) return false;
    await this.#end(machine);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#filling;
    for (const { machines } of this.#shelves.values())
      for (const machine of machines.splice(0)) void this.#end(machine);
    await Promise.all(this.#ending);
  }

  /** Makes what is missing, unless there is something else to do. */
  #fill(): void {
    if (this.#filling || this.#creates > 0 || this.#stop.signal.aborted) return;
    const shelf = [...this.#shelves.values()].find(
      ({ machines, target, resting }) => machines.length < target && !resting,
    );
    if (!shelf) return;
    this.#filling = this.#make(shelf).finally(() => {
      this.#filling = undefined;
      this.#fill();
    });
  }

  async #make(shelf: Shelf<S, M>): Promise<void> {
    const { make, logger } = this.#options;
    const { template } = shelf.source;
    try {
      const machine = await make(shelf.source, this.#stop.signal);
      if (!machine) shelf.resting = true;
      else if (this.#shelves.get(shelf.source.id) !== shelf) await this.#end(machine);
      else this.#put(shelf, machine);
    } catch (err) {
      shelf.resting = true;
      if (!this.#stop.signal.aborted) logger.error({ err, template }, "cannot make a machine for the pool");
    }
  }

  #put(shelf: Shelf<S, M>, machine: M): void {
    shelf.machines.push(machine);
    this.#options.logger.info({ template: shelf.source.template }, "a machine waits for a create");
    void machine.exited.then(() => {
      const index = shelf.machines.indexOf(machine);
      if (index < 0) return;
      shelf.machines.splice(index, 1);
      shelf.exits += 1;
      if (shelf.exits > shelf.target) shelf.resting = true;
      this.#options.logger.warn({ template: shelf.source.template }, "a machine of the pool has ended");
      void this.#end(machine);
      this.#fill();
    });
  }

  /** @returns when it is gone, whatever became of its release: the next start of the agent finds what is left. */
  #end(machine: M): Promise<void> {
    const ended = this.#dispose(machine).finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
    return ended;
  }

  async #dispose(machine: M): Promise<void> {
    try {
      await machine[Symbol.asyncDispose]();
    } catch (err) {
      this.#options.logger.error({ err }, "a machine of the pool was not released");
    }
  }
}
