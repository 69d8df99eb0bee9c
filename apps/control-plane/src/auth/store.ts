import { newId } from "@wrenn/contracts";
import { type Kysely, sql } from "kysely";
import type { Schema } from "../database/schema.ts";
import { apiKeyHash, newApiKey } from "./api-key.ts";

export interface FoundKey {
  id: string;
  teamId: string;
  /** Whether the team is the platform's. */
  platform: boolean;
  lastUsedAt: Date | null;
}

/** Makes a key of a team and answers it: the only moment at which it is known. */
export async function createApiKey(
  db: Kysely<Schema>,
  key: { teamId: string; createdBy: string; name: string },
): Promise<string> {
  const text = newApiKey();
  const hash = apiKeyHash(text);
  if (!hash) throw new Error("a new key is not spelled like a key");
  await db
    .insertInto("api_keys")
    .values({
      id: newId("apiKey"),
      team_id: key.teamId,
      created_by: key.createdBy,
      name: key.name,
      key_hash: hash,
    })
    .execute();
  return text;
}

export async function findApiKey(db: Kysely<Schema>, hash: Buffer): Promise<FoundKey | undefined> {
  return db
    .selectFrom("api_keys")
    .innerJoin("teams", "teams.id", "api_keys.team_id")
    .select([
      "api_keys.id",
      "api_keys.team_id as teamId",
      "teams.platform",
      "api_keys.last_used_at as lastUsedAt",
    ])
    .where("api_keys.key_hash", "=", hash)
    .executeTakeFirst();
}

/** Notes that a key is used, unless that was noted in the last minute, by whichever replica. */
export async function noteKeyUse(db: Kysely<Schema>, id: string): Promise<void> {
  await db
    .updateTable("api_keys")
    .set({ last_used_at: sql<Date>`now()` })
    .where("id", "=", id)
    .where(sql<boolean>`last_used_at is null or last_used_at < now() - interval '1 minute'`)
    .execute();
}
