import { newId } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import type { Kysely } from "kysely";
import type { Schema } from "../database/schema.ts";
import { aliveSec, noteAlive, noteEnded } from "./store.ts";

/** Several chances before the others take us for dead. */
const beatEveryMs = (aliveSec * 1000) / 4;

/** This control plane among those on one database, for as long as it lives. */
export class Replica implements AsyncDisposable {
  readonly id: string;
  readonly #db: Kysely<Schema>;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;
  #beating: Promise<void> | undefined;

  private constructor(id: string, db: Kysely<Schema>, logger: Logger) {
    this.id = id;
    this.#db = db;
    this.#logger = logger;
    this.#timer = setInterval(() => this.#beat(), beatEveryMs).unref();
  }

  static async join(db: Kysely<Schema>, logger: Logger): Promise<Replica> {
    const id = newId("controlPlane");
    await noteAlive(db, id);
    return new Replica(id, db, logger);
  }

  /** The others know at once that what we had under way is theirs. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    await noteEnded(this.#db, this.id).catch(this.#failed);
  }

  #beat(): void {
    this.#beating ??= noteAlive(this.#db, this.id)
      .catch(this.#failed)
      .finally(() => {
        this.#beating = undefined;
      });
  }

  readonly #failed = (err: unknown): void => {
    this.#logger.warn({ err }, "this control plane could not note that it lives");
  };
}
