import type { Holding, Step } from "../journal/entry.ts";
import type { Journal } from "../journal/journal.ts";

/**
 * What is held for one capsule. Whatever is acquired is noted and its release registered in one step; releases run in
 * reverse order, each noted before it is done.
 */
export class Holdings implements AsyncDisposable {
  readonly #id: string;
  readonly #journal: Journal;
  readonly #stack = new AsyncDisposableStack();

  constructor(id: string, journal: Journal) {
    this.#id = id;
    this.#journal = journal;
  }

  /** Notes `step`, which acquires something, and how that is let go of. */
  hold(step: Step, holding: Holding, release: () => Promise<void>): void {
    this.keep(holding, release);
    this.#journal.write(this.#id, step);
  }

  /** As {@link hold}, for what is noted already. */
  keep(holding: Holding, release: () => Promise<void>): void {
    this.#stack.defer(async () => {
      this.#journal.writeIfPossible(this.#id, { step: "release", holding });
      await release();
    });
  }

  /** Ties something that only this process has to the rest. */
  use<T extends AsyncDisposable>(value: T): T {
    return this.#stack.use(value);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
