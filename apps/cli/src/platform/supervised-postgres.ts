import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "@wrenn/daemon";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "@wrenn/postgres";

const restartMs = 500;

/** The platform's own PostgreSQL. A crash restarts it, at the same address. */
export class SupervisedPostgres implements AsyncDisposable {
  readonly #dir: string;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  #server: EmbeddedPostgres;
  readonly #supervising: Promise<void>;

  private constructor(dir: string, logger: Logger, server: EmbeddedPostgres) {
    this.#dir = dir;
    this.#logger = logger;
    this.#server = server;
    this.#supervising = this.#supervise();
  }

  static async start(dir: string, logger: Logger, signal: AbortSignal): Promise<SupervisedPostgres> {
    return new SupervisedPostgres(dir, logger, await startEmbeddedPostgres({ dir, logger, signal }));
  }

  get databaseUrl(): string {
    return this.#server.databaseUrl;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#server.stop();
    await this.#supervising;
    await this.#server.stop();
  }

  async #supervise(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const exit = await this.#server.exited;
      if (signal.aborted) return;
      this.#logger.warn({ ...exit }, "PostgreSQL ended; restarting it");
      await this.#restart(signal);
    }
  }

  async #restart(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        // A server that has ended still holds its directory until it is stopped.
        await this.#server.stop();
        this.#server = await startEmbeddedPostgres({ dir: this.#dir, logger: this.#logger, signal });
        return;
      } catch (error) {
        if (!signal.aborted) this.#logger.error({ err: error }, "PostgreSQL did not start");
        await delay(restartMs, undefined, { signal }).catch(() => {});
      }
    }
  }
}
