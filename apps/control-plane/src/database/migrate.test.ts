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

test("a platform of before hosts registered keeps its teams and capsules, which are nowhere any more", async () => {
  const [first, ...later] = await readMigrations();
  if (!first) throw new Error("there is no first migration");
  await run(first);
  const { pool } = database;
  await pool.query(`
    INSERT INTO users VALUES ('us1', 'a@x', ''), ('us2', 'b@x', '');
    INSERT INTO teams VALUES ('tm1', 'first', now()), ('tm2', 'second', now());
    INSERT INTO team_members VALUES ('tm2', 'us2', 'owner', now()), ('tm1', 'us1', 'owner', now() - interval '1 day');
    INSERT INTO hosts VALUES ('hs1', 'http://127.0.0.1:50051');
    INSERT INTO capsules (id, team_id, host_id, template, vcpus, memory_mib, timeout_sec, state, generation)
      SELECT 'cl-' || state, 'tm1', 'hs1', 'minimal', 1, 512, 0, state, 1
      FROM unnest(array['running', 'starting', 'stopping', 'stopped', 'error']) AS state`);
  await run(first, ...later);
  expect((await pool.query("SELECT id FROM teams WHERE platform")).rows).toEqual([{ id: "tm1" }]);
  expect((await pool.query("SELECT id, state, host_id FROM capsules ORDER BY id")).rows).toEqual([
    { id: "cl-error", state: "error", host_id: null },
    { id: "cl-running", state: "error", host_id: null },
    { id: "cl-starting", state: "error", host_id: null },
    { id: "cl-stopped", state: "stopped", host_id: null },
    { id: "cl-stopping", state: "stopped", host_id: null },
  ]);
  expect((await pool.query("SELECT id FROM hosts")).rows).toEqual([]);
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
