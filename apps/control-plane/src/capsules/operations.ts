import { setTimeout as sleep } from "node:timers/promises";

/** Together with the server's, less than the process has to end. */
const finishMs = 5_000;

/**
 * The operations on capsules that this process has under way. They are detached from the client's connection: a
 * client that leaves does not stop them, and the end of the process waits for them.
 */
export class CapsuleOperations implements AsyncDisposable {
  readonly #running = new Map<Promise<unknown>, readonly string[]>();

  /** Runs an operation on a capsule, or on several. The promise is for whoever still listens. */
  run<T>(capsuleIds: string | readonly string[], work: () => Promise<T>): Promise<T> {
    const running = work();
    this.#running.set(running, typeof capsuleIds === "string" ? [capsuleIds] : capsuleIds);
    const forget = (): void => void this.#running.delete(running);
    running.then(forget, forget);
    return running;
  }

  /** Whether one is under way: then the row is its, and not the reconciler's. */
  has(capsuleId: string): boolean {
    for (const ids of this.#running.values()) if (ids.includes(capsuleId)) return true;
    return false;
  }

  /** Waits for what is under way on a capsule now. */
  async idle(capsuleId: string): Promise<void> {
    const running = [...this.#running].filter(([, ids]) => ids.includes(capsuleId)).map(([work]) => work);
    await Promise.allSettled(running);
  }

  /** Waits for what is under way, but not for long: the hosts go on, and the next control plane looks. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timer = new AbortController();
    const late = sleep(finishMs, undefined, { signal: timer.signal }).catch(() => {});
    await Promise.race([Promise.allSettled(this.#running.keys()), late]);
    timer.abort();
  }
}
