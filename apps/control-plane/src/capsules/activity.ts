import type { Logger } from "@wrenn/daemon";
import type { CapsuleStore } from "./store.ts";

const flushEveryMs = 3_000;

/**
 * When capsules were last used. Noted in memory, and written together every few seconds: an upload touches its
 * capsule with every chunk.
 */
export class Activity implements AsyncDisposable {
  readonly #store: CapsuleStore;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;
  #times = new Map<string, Date>();
  #flushing: Promise<void> = Promise.resolve();

  constructor(store: CapsuleStore, logger: Logger) {
    this.#store = store;
    this.#logger = logger;
    this.#timer = setInterval(() => void this.flush(), flushEveryMs).unref();
  }

  touch(capsuleId: string): void {
    this.#times.set(capsuleId, new Date());
  }

  /** Writes what is noted. What cannot be written is noted again, unless something newer is. */
  flush(): Promise<void> {
    this.#flushing = this.#flushing.then(() => this.#write());
    return this.#flushing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #write(): Promise<void> {
    if (this.#times.size === 0) return;
    const times = this.#times;
    this.#times = new Map();
    try {
      await this.#store.noteActivity(times);
    } catch (err) {
      this.#logger.warn({ err }, "activity could not be written");
      this.#times = new Map([...times, ...this.#times]);
    }
  }
}
