import type { Timers } from "./timers.ts";

/**
 * When a capsule was used last. A use has a begin and an end, and lasts as long as somebody holds it: a stream that is
 * open is one, whether bytes move on it or not.
 */
export class Activity {
  readonly #timers: Timers;
  #open = 0;
  #lastAt: number;

  constructor(timers: Timers) {
    this.#timers = timers;
    this.#lastAt = timers.now();
  }

  /** Milliseconds since it was used last; 0 while it is. */
  get idleMs(): number {
    return this.#open > 0 ? 0 : this.#timers.now() - this.#lastAt;
  }

  /** A use of no length. */
  touch(): void {
    this.#lastAt = this.#timers.now();
  }

  /** A use that lasts until it is disposed of. */
  use(): Disposable {
    this.#open += 1;
    const stack = new DisposableStack();
    stack.defer(() => {
      this.#open -= 1;
      this.touch();
    });
    return stack;
  }
}
