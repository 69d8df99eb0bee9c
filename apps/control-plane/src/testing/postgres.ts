import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeLogger } from "@wrenn/daemon";
import { startEmbeddedPostgres } from "@wrenn/postgres";
import pg from "pg";
import { connectDatabase, type Database } from "../database/connect.ts";
import { migrate, readMigrations } from "../database/migrate.ts";

export const silent = makeLogger("control-plane-test", "silent");

/** A PostgreSQL for one test file. */
export interface TestPostgres extends AsyncDisposable {
  pid: number;
  /** Makes an empty database and answers its connection string. */
  emptyDatabase(): Promise<string>;
  /** Makes a database with all tables, and connects to it. */
  newDatabase(): Promise<TestDatabase>;
}

export interface TestDatabase extends Database {
  url: string;
}

export async function startTestPostgres(): Promise<TestPostgres> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-cp-test-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const server = stack.use(await startEmbeddedPostgres({ dir, logger: silent }));
  let made = 0;
  let template: Promise<string> | undefined;

  const emptyDatabase = async (from = "template1"): Promise<string> => {
    made += 1;
    const name = `test_${made}`;
    await execute(server.adminUrl, `CREATE DATABASE ${name} OWNER wrenn TEMPLATE ${from}`);
    const url = new URL(server.databaseUrl);
    url.pathname = `/${name}`;
    return url.href;
  };
  const makeTemplate = async (): Promise<string> => {
    const url = await emptyDatabase();
    await using database = connectDatabase(url, silent);
    await migrate(database.pool, await readMigrations(), silent);
    return new URL(url).pathname.slice(1);
  };
  const newDatabase = async (): Promise<TestDatabase> => {
    template ??= makeTemplate();
    const url = await emptyDatabase(await template);
    return { url, ...connectDatabase(url, silent) };
  };
  const held = stack.move();
  return {
    pid: server.pid,
    emptyDatabase: () => emptyDatabase(),
    newDatabase,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

async function execute(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
