import type { Logger } from "@wrenn/daemon";

/** Work that nobody waits for, except the end of the process. */
export class BackgroundTasks implements AsyncDisposable {
  readonly #running = new Set<Promise<void>>();
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Starts work whose failure is a line in the log, and nothing else. */
  start(name: string, work: () => Promise<void>): void {
    const running = work()
      .catch((err: unknown) => this.#logger.warn({ err, task: name }, "background work failed"))
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#running);
  }
}
