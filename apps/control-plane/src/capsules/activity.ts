import type { Logger } from "@wrenn/daemon";
import { type Kysely, sql } from "kysely";
import type { Schema } from "../database/schema.ts";

const flushEveryMs = 3_000;

/**
 * When capsules were last used. Noted in memory, and written together every few seconds: an upload touches its
 * capsule with every chunk.
 */
export class Activity implements AsyncDisposable {
  readonly #db: Kysely<Schema>;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;
  #times = new Map<string, Date>();
  #flushing: Promise<void> = Promise.resolve();

  constructor(db: Kysely<Schema>, logger: Logger) {
    this.#db = db;
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
      await noteActivity(this.#db, times);
    } catch (err) {
      this.#logger.warn({ err }, "activity could not be written");
      this.#times = new Map([...times, ...this.#times]);
    }
  }
}

/** Notes when capsules were last used; never moves the time back. */
export async function noteActivity(db: Kysely<Schema>, times: ReadonlyMap<string, Date>): Promise<void> {
  await sql`
    update capsules set last_active_at = used.at
    from unnest(${[...times.keys()]}::text[], ${[...times.values()]}::timestamptz[]) as used (id, at)
    where capsules.id = used.id and (last_active_at is null or last_active_at < used.at)
  `.execute(db);
}
