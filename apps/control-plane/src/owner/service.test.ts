import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { verify } from "@node-rs/argon2";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { apiKeyHash } from "../auth/api-key.ts";
import { findApiKey } from "../auth/store.ts";
import { silent, startTestPostgres, type TestDatabase, type TestPostgres } from "../testing/postgres.ts";
import type { OwnerCredentials } from "./owner-file.ts";
import { ensureOwner } from "./service.ts";

let postgres: TestPostgres;
let database: TestDatabase;
let dir: string;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres[Symbol.asyncDispose]());
beforeEach(async () => {
  database = await postgres.newDatabase();
  dir = await mkdtemp(join(tmpdir(), "wrenn-owner-"));
  return async () => {
    await database[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  };
});

async function ensure(name = "owner.json") {
  const printed: string[] = [];
  const ownerFile = join(dir, name);
  await ensureOwner(database.kysely, { ownerFile, logger: silent, print: (text) => printed.push(text) });
  const credentials = JSON.parse(await readFile(ownerFile, "utf8")) as OwnerCredentials;
  return { credentials, printed: printed.join(""), ownerFile };
}

const teamOf = async (key: string) =>
  (await findApiKey(database.kysely, apiKeyHash(key) ?? Buffer.alloc(0)))?.teamId;

test("the first start makes an account that works, and shows it once", async () => {
  const { credentials, printed, ownerFile } = await ensure();
  expect(await teamOf(credentials.api_key)).toBe(credentials.team_id);
  expect(printed).toContain(credentials.api_key);
  expect(printed).toContain(credentials.password);
  expect((await stat(ownerFile)).mode & 0o777).toBe(0o600);
  const user = await database.kysely.selectFrom("users").selectAll().executeTakeFirstOrThrow();
  expect(user.password_hash).toMatch(/^\$argon2id\$/);
  expect(await verify(user.password_hash, credentials.password ?? "")).toBe(true);
});

test("later starts change and print nothing", async () => {
  const first = await ensure();
  expect(await ensure()).toEqual({ ...first, printed: "" });
});

test("a lost file gets a new key of the same team, and the old one stays valid", async () => {
  const first = await ensure();
  await rm(first.ownerFile);
  const second = await ensure();
  expect(second.printed).toBe("");
  expect(second.credentials).toMatchObject({ password: null, team_id: first.credentials.team_id });
  expect(second.credentials.api_key).not.toBe(first.credentials.api_key);
  for (const { credentials } of [first, second]) {
    expect(await teamOf(credentials.api_key)).toBe(first.credentials.team_id);
  }
});

test("replicas that start together make one account", async () => {
  const all = await Promise.all(["a", "b", "c", "d"].map(ensure));
  expect(new Set(all.map(({ credentials }) => credentials.team_id)).size).toBe(1);
  expect(all.filter(({ printed }) => printed !== "")).toHaveLength(1);
  expect(await database.kysely.selectFrom("users").select("id").execute()).toHaveLength(1);
});
