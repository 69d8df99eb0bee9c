import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { silent, startTestPostgres, type TestPostgres } from "../testing/postgres.ts";
import { connectDatabase, type Database, waitForDatabase } from "./connect.ts";
import { type Migration, migrate, readMigrations } from "./migrate.ts";

let postgres: TestPostgres;
let database: Database;
let url: string;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres[Symbol.asyncDispose]());
beforeEach(async () => {
  url = await postgres.emptyDatabase();
  database = connectDatabase(url, silent);
  return () => database[Symbol.asyncDispose]();
});

const step = (version: number, sql: string): Migration => ({ version, name: `step-${version}`, sql });
const one = step(1, "CREATE TABLE one (n int); INSERT INTO one VALUES (1)");
const two = step(2, "CREATE TABLE two (n int)");
const run = (...migrations: Migration[]) => migrate(database.pool, migrations, silent);
const versions = async () =>
  (await database.pool.query("SELECT version FROM schema_migrations ORDER BY version")).rows;

test("the shipped migrations are numbered without a gap", async () => {
  const shipped = await readMigrations();
  expect(shipped.map(({ version }) => version)).toEqual(shipped.map((_, index) => index + 1));
  await run(...shipped);
  await run(...shipped);
});

test("each migration runs once, whoever starts at the same time", async () => {
  await Promise.all([run(one, two), run(one, two), run(one, two)]);
  expect(await versions()).toEqual([{ version: 1 }, { version: 2 }]);
  expect((await database.pool.query("SELECT n FROM one")).rows).toEqual([{ n: 1 }]);
});

test("a migration that fails leaves no trace and can be mended", async () => {
  await expect(run(one, step(2, "CREATE TABLE half (n int); SELECT 1/0"))).rejects.toMatchObject({
    code: "22012",
  });
  expect(await versions()).toEqual([{ version: 1 }]);
  expect((await database.pool.query("SELECT to_regclass('half') AS half")).rows).toEqual([{ half: null }]);
  await run(one, two);
  expect(await versions()).toHaveLength(2);
});

test("refuses a database of a newer version, and one with another history", async () => {
  await run(one, two);
  await expect(run(one)).rejects.toMatchObject({ code: "config_invalid", message: /migration 2/ });
  await expect(run(step(1, "SELECT 1"), two)).rejects.toMatchObject({ code: "config_invalid" });
});

test("says in one sentence which server refuses or cannot be reached, without the password", async () => {
  const signal = new AbortController().signal;
  const wait = async (change: (target: URL) => void) => {
    const target = new URL(url);
    change(target);
    await using other = connectDatabase(target.href, silent);
    return waitForDatabase(other, { url: target.href, timeoutMs: 100, signal });
  };
  const wrongPassword = wait((target) => {
    target.password = "secret-word";
  });
  await expect(wrongPassword).rejects.toMatchObject({ code: "config_invalid", message: /user "wrenn"/ });
  await expect(wrongPassword).rejects.not.toThrow(/secret-word/);
  const noDatabase = wait((target) => {
    target.pathname = "/none";
  });
  await expect(noDatabase).rejects.toMatchObject({ code: "config_invalid", message: /"none"/ });
  const nobody = wait((target) => {
    target.port = "1";
  });
  await expect(nobody).rejects.toMatchObject({ code: "database_unavailable", message: /127\.0\.0\.1:1/ });
});
