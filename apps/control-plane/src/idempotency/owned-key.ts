import { type IdKind, newId, WrennError } from "@wrenn/contracts";
import type { IdempotencyKeyRow } from "../database/schema.ts";
import type { IdempotencyStore, KeyName } from "./store.ts";

/** What is answered to a request. */
export interface Answer {
  status: number;
  /** JSON as it was sent; null for none. */
  body: string | null;
}

/** A request with a key that is worked on here, from its beginning to its answer. */
export class OwnedKey {
  /** Whether the request was begun before, and not answered, or with a failure of ours (5xx). */
  readonly again: boolean;
  /** Whether that was cut short: how far it came is not known. */
  readonly interrupted: boolean;
  readonly #name: KeyName;
  readonly #store: IdempotencyStore;
  readonly #answered: (answer: Answer | undefined) => void;
  #made: string[];
  #isKept = true;

  constructor(
    name: KeyName,
    before: IdempotencyKeyRow | undefined,
    store: IdempotencyStore,
    answered: (answer: Answer | undefined) => void,
  ) {
    this.again = before !== undefined;
    this.interrupted = before !== undefined && before.operated_by !== null;
    this.#name = name;
    this.#store = store;
    this.#answered = answered;
    this.#made = before?.made ?? [];
  }

  /**
   * Ids for what the request makes. The same ones when it is made again, so that it finds what it has made.
   *
   * @param renewed new ones all the same: what the old ones are of has failed.
   */
  async ids(kind: IdKind, count: number, renewed = false): Promise<string[]> {
    if (!renewed && this.#made.length === count) return this.#made;
    const ids = Array.from({ length: count }, () => newId(kind));
    await this.#store.noteMade(this.#name, ids);
    this.#made = ids;
    return ids;
  }

  /** What to throw while something that the request began is not through: the next one finds it further. */
  notYet(): WrennError {
    this.#isKept = false;
    return requestInProgress();
  }

  /**
   * Keeps the answer, unless it says that we have failed: then the same request is done anew. That a command ran out of
   * its time is an answer.
   */
  async finish(answer: Answer): Promise<void> {
    const isKept = this.#isKept && (answer.status < 500 || answer.status === 504);
    try {
      await (isKept ? this.#store.noteAnswer(this.#name, answer) : this.#store.release(this.#name));
    } finally {
      this.#answered(answer);
    }
  }
}

export function requestInProgress(): WrennError {
  const sentence = "the first request with this Idempotency-Key is still under way; ask again";
  return new WrennError("request_in_progress", sentence, { field: "Idempotency-Key" });
}
