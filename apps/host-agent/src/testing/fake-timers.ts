import type { Timers } from "../time-rules/timers.ts";

interface FakeTimer {
  readonly at: number;
  readonly callback: () => void;
}

/** Time that passes when a test says so. */
export class FakeTimers implements Timers {
  #now = 0;
  #timers: FakeTimer[] = [];

  /** Timers that are set. */
  get count(): number {
    return this.#timers.length;
  }

  now(): number {
    return this.#now;
  }

  after(ms: number, callback: () => void): Disposable {
    const timer = { at: this.#now + ms, callback };
    this.#timers.push(timer);
    return { [Symbol.dispose]: () => this.#remove(timer) };
  }

  /** Lets time pass. What is due is called in its order, each with time for what that sets off. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#now = Math.max(this.#now, next.at);
      this.#remove(next);
      next.callback();
      await new Promise(setImmediate);
    }
    this.#now = end;
  }

  #next(end: number): FakeTimer | undefined {
    return this.#timers.filter(({ at }) => at <= end).sort((one, other) => one.at - other.at)[0];
  }

  #remove(timer: FakeTimer): void {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }
}
