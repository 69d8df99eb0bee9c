import { type Kysely, sql } from "kysely";
import type { IdempotencyKeyRow, Schema } from "../database/schema.ts";
import { isAlive } from "../replicas/store.ts";

/** How long an answer is kept. */
const keepHours = 24;
const isOld = sql<boolean>`created_at < now() - make_interval(hours => ${sql.lit(keepHours)})`;
/** Whether no control plane that lives works on the request. */
const isNobodys = sql<boolean>`(operated_by is null or not ${isAlive("idempotency_keys.operated_by")})`;

/** A key that a client chose, among those of its team. */
export interface KeyName {
  teamId: string;
  key: string;
}

/** What becomes of a request with a key. */
export type Claim =
  /** It is this control plane's to work on; `before` is what was known of it, if it is not the first. */
  | { outcome: "ours"; before: IdempotencyKeyRow | undefined }
  | { outcome: "answered"; status: number; body: string | null }
  | { outcome: "under way" }
  | { outcome: "another request" };

/** Rows of keys: who works on which request, and what was answered. */
export class IdempotencyStore {
  readonly #db: Kysely<Schema>;
  readonly #replica: string;

  /** @param replica this control plane, as what it works on is marked. */
  constructor(db: Kysely<Schema>, replica: string) {
    this.#db = db;
    this.#replica = replica;
  }

  /**
   * Takes a request on, unless it is answered or somebody works on it. The caller sees to it that it does not itself:
   * what is marked as this control plane's is taken as left behind.
   */
  async claim(name: KeyName, requestHash: Buffer): Promise<Claim> {
    const { teamId: team_id, key } = name;
    await this.#db
      .deleteFrom("idempotency_keys")
      .where("team_id", "=", team_id)
      .where("key", "=", key)
      .where(isOld)
      .where(isNobodys)
      .execute();
    const made = await this.#db
      .insertInto("idempotency_keys")
      .values({ team_id, key, request_hash: requestHash, operated_by: this.#replica })
      .onConflict((conflict) => conflict.columns(["team_id", "key"]).doNothing())
      .returning("key")
      .executeTakeFirst();
    if (made) return { outcome: "ours", before: undefined };
    const row = await this.#find(name);
    if (!row) return { outcome: "under way" }; // it was old, and another control plane has just forgotten it
    if (!row.request_hash.equals(requestHash)) return { outcome: "another request" };
    if (row.status !== null) return { outcome: "answered", status: row.status, body: row.body };
    return (await this.#takeOver(name)) ? { outcome: "ours", before: row } : { outcome: "under way" };
  }

  /** Notes the ids of what a request of ours makes, before it does. */
  async noteMade(name: KeyName, ids: string[]): Promise<void> {
    await this.#ours(name).set({ made: ids }).execute();
  }

  /** Keeps the answer to a request of ours. */
  async noteAnswer(name: KeyName, answer: { status: number; body: string | null }): Promise<void> {
    await this.#ours(name)
      .set({ ...answer, operated_by: null })
      .execute();
  }

  /** Leaves a request of ours to whoever makes it next. */
  async release(name: KeyName): Promise<void> {
    await this.#ours(name).set({ operated_by: null }).execute();
  }

  /** Forgets what is old. */
  async forgetOld(): Promise<void> {
    await this.#db.deleteFrom("idempotency_keys").where(isOld).where(isNobodys).execute();
  }

  async #takeOver(name: KeyName): Promise<boolean> {
    const { teamId, key } = name;
    const taken = await this.#db
      .updateTable("idempotency_keys")
      .set({ operated_by: this.#replica })
      .where("team_id", "=", teamId)
      .where("key", "=", key)
      .where("status", "is", null)
      .where((eb) => eb.or([eb("operated_by", "=", this.#replica), isNobodys]))
      .returning("key")
      .executeTakeFirst();
    return taken !== undefined;
  }

  #find({ teamId, key }: KeyName): Promise<IdempotencyKeyRow | undefined> {
    return this.#db
      .selectFrom("idempotency_keys")
      .selectAll()
      .where("team_id", "=", teamId)
      .where("key", "=", key)
      .executeTakeFirst();
  }

  #ours({ teamId, key }: KeyName) {
    return this.#db
      .updateTable("idempotency_keys")
      .where("team_id", "=", teamId)
      .where("key", "=", key)
      .where("status", "is", null)
      .where("operated_by", "=", this.#replica);
  }
}
