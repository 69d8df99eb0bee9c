import { setTimeout as sleep } from "node:timers/promises";
import type { Health } from "@wrenn/contracts/rest";
import { wrennVersion } from "@wrenn/daemon";
import { type Kysely, sql } from "kysely";
import type { Schema } from "../database/schema.ts";

const answerTimeoutMs = 2_000;

/** Asks the database, briefly: without it we can do nothing. */
export async function readiness(db: Kysely<Schema>): Promise<Health> {
  const timer = new AbortController();
  const late = sleep(answerTimeoutMs, false, { signal: timer.signal }).catch(() => false);
  const asked = sql`select 1`.execute(db).then(
    () => true,
    () => false,
  );
  const answered = await Promise.race([asked, late]);
  timer.abort();
  return { status: answered ? "ok" : "unavailable", version: wrennVersion };
}
