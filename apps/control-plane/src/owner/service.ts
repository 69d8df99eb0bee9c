import { randomBytes } from "node:crypto";
import type { Logger } from "@wrenn/daemon";
import type { Kysely, Transaction } from "kysely";
import { hashPassword } from "../auth/password-hash.ts";
import { createApiKey } from "../auth/store.ts";
import type { Schema } from "../database/schema.ts";
import { describeOwner, hasOwnerFile, type OwnerCredentials, writeOwnerFile } from "./owner-file.ts";
import { findOwner, insertOwner, withOwnerLock } from "./store.ts";

const ownerEmail = "owner@localhost";
const ownerTeam = "Owner";

/**
 * Makes the account that a new platform is used with, and its file. The file is written after the account is
 * committed: what is lost in between is mended by the next start, which finds no file and issues another key.
 */
export async function ensureOwner(
  db: Kysely<Schema>,
  options: { ownerFile: string; logger: Logger; print: (text: string) => void },
): Promise<void> {
  const { ownerFile, logger, print } = options;
  const fileExists = await hasOwnerFile(ownerFile);
  const credentials = await withOwnerLock(db, async (transaction) => {
    const owner = await findOwner(transaction);
    if (!owner) return createOwner(transaction);
    if (fileExists) return undefined;
    const key = { teamId: owner.teamId, createdBy: owner.userId, name: "owner file" };
    const apiKey = await createApiKey(transaction, key);
    return { email: owner.email, password: null, team_id: owner.teamId, api_key: apiKey };
  });
  if (!credentials) return;
  await writeOwnerFile(ownerFile, credentials);
  if (credentials.password === null) logger.info({ ownerFile }, "issued a new key for the owner");
  else print(describeOwner(credentials, ownerFile));
}

async function createOwner(db: Transaction<Schema>): Promise<OwnerCredentials> {
  const password = randomBytes(18).toString("base64url");
  const passwordHash = await hashPassword(password);
  const owner = await insertOwner(db, { email: ownerEmail, passwordHash, teamName: ownerTeam });
  const key = { teamId: owner.teamId, createdBy: owner.userId, name: "owner" };
  const apiKey = await createApiKey(db, key);
  return { email: ownerEmail, password, team_id: owner.teamId, api_key: apiKey };
}
