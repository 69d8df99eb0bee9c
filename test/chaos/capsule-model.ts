import type { CapsuleState } from "@wrenn/contracts";
import { pausesSoon, type Rules, rulesText } from "./rules.ts";

/** What a guest was told to keep: what was acknowledged has to be there, what was only begun may be. */
export class Kept {
  /** Each token with the checksum of what belongs to it. */
  readonly acknowledged: Map<string, string>;
  readonly begun: Set<string>;

  constructor(acknowledged: Iterable<[string, string]> = [], begun: Iterable<string> = []) {
    this.acknowledged = new Map(acknowledged);
    this.begun = new Set(begun);
  }

  copy(): Kept {
    return new Kept(this.acknowledged, this.begun);
  }

  clear(): void {
    this.acknowledged.clear();
    this.begun.clear();
  }

  /** What contradicts that a guest has exactly these. */
  problems(what: string, found: ReadonlyMap<string, string>): string[] {
    const lost = [...this.acknowledged].filter(([token]) => !found.has(token)).map(([token]) => token);
    const changed = [...this.acknowledged].filter(([token, sum]) => (found.get(token) ?? sum) !== sum);
    const foreign = [...found.keys()].filter((token) => !this.begun.has(token));
    return [
      ...lost.map((token) => `lost ${what} ${token}, which was acknowledged`),
      ...changed.map(([token]) => `${what} ${token} is not what was acknowledged`),
      ...foreign.map((token) => `has ${what} ${token}, which is not its own`),
    ];
  }
}

/** A process that counts in the guest's memory, as it was seen last. */
export interface Counter {
  /** Known to the process alone. */
  readonly nonce: string;
  readonly pid: number;
  readonly value: number;
}

/** One operation on a capsule while it is under way. */
export interface UnderWay {
  /** Whether another one was under way at the same time: then neither knows what the other did first. */
  contended: boolean;
}

/** What the clients know of one capsule, with everything that an answer which never came leaves open. */
export class CapsuleModel {
  readonly id: string;
  /** Of the operation that made it. */
  readonly origin: string;
  /** Where it may be once nothing is under way. */
  states: Set<CapsuleState>;
  presence: "there" | "maybe" | "gone" = "there";
  /** Its VMM was killed since it was looked at: then its memory may be lost, and nothing else. */
  machineKilled = false;
  disk = new Kept();
  memory = new Kept();
  counter: Counter | undefined;
  /** Hostname and machine id, once they have been seen. */
  identity: string | undefined;
  /** Rules that it may have, by their text. */
  readonly rules = new Map<string, Rules>();
  readonly #underWay = new Set<UnderWay>();

  constructor(id: string, origin: string, states: Iterable<CapsuleState>) {
    this.id = id;
    this.origin = origin;
    this.states = new Set(states);
  }

  begin(): UnderWay {
    const begun: UnderWay = { contended: this.#underWay.size > 0 };
    for (const other of this.#underWay) other.contended = true;
    this.#underWay.add(begun);
    return begun;
  }

  end(operation: UnderWay): void {
    this.#underWay.delete(operation);
  }

  /** An operation was acknowledged: without another beside it, that is where the capsule is. */
  arrived({ contended }: UnderWay, state: CapsuleState): void {
    if (!contended) this.states.clear();
    this.states.add(state);
    this.#mayPauseItself();
  }

  /** Rules are about to be set. */
  mayHave(rules: Rules): void {
    this.rules.set(rulesText(rules), rules);
    this.#mayPauseItself();
  }

  /** It was acknowledged that they are set. */
  has({ contended }: UnderWay, rules: Rules): void {
    if (!contended) this.rules.clear();
    this.mayHave(rules);
  }

  /** Whether whatever needs its guest resumes it. */
  get resumesItself(): boolean {
    return [...this.rules.values()].every((rules) => rules.auto_resume);
  }

  #mayPauseItself(): void {
    if (this.states.has("running") && [...this.rules.values()].some(pausesSoon)) this.states.add("paused");
  }

  may(...states: CapsuleState[]): boolean {
    return states.some((state) => this.states.has(state));
  }

  /** Whether it can be nowhere else. */
  surely(state: CapsuleState): boolean {
    return this.presence === "there" && this.states.size === 1 && this.states.has(state);
  }

  /** The memory is gone with the machine; what was on the disk stays. */
  lostMemory(): void {
    this.memory.clear();
    this.counter = undefined;
    this.identity = undefined;
  }

  /** It is made of what a copy has. */
  becomes(copy: Copy): void {
    this.disk = copy.disk.copy();
    this.memory = copy.memory.copy();
    this.counter = copy.counter;
  }
}

/** What is in a copy of a capsule that is asked for now. */
export class Copy {
  readonly disk: Kept;
  readonly memory: Kept;
  readonly counter: Counter | undefined;
  readonly #source: CapsuleModel;

  constructor(source: CapsuleModel) {
    this.disk = source.disk.copy();
    this.memory = source.memory.copy();
    this.counter = source.counter;
    this.#source = source;
  }

  /** The copy has been taken by now: what its source has begun to write until now may be in it. */
  taken(): void {
    for (const token of this.#source.disk.begun) this.disk.begun.add(token);
    for (const token of this.#source.memory.begun) this.memory.begun.add(token);
  }
}
