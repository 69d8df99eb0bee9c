import { setTimeout as sleep } from "node:timers/promises";
import { WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";
import { databaseError } from "./availability.ts";
import { watchPool } from "./pool.ts";
import type { Schema } from "./schema.ts";

/** The database, through a pool of connections that mends itself when PostgreSQL comes back. */
export interface Database extends AsyncDisposable {
  readonly kysely: Kysely<Schema>;
  readonly pool: pg.Pool;
}

const maxConnections = 16;
const connectTimeoutMs = 5_000;
const statementTimeoutMs = 30_000;

/** `int8` exceeds a number: it becomes a bigint. Everything else is parsed as usual. */
const types: pg.CustomTypesConfig = {
  getTypeParser(oid: number, format?: "text" | "binary") {
    return oid === pg.types.builtins.INT8 ? BigInt : pg.types.getTypeParser(oid, format);
  },
};

export function connectDatabase(url: string, logger: Logger): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: maxConnections,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    application_name: "wrenn-cp",
    keepAlive: true,
    types,
  });
  // Only its message: the pool attaches the whole client, with what opens the server.
  const onLost = (error: Error): void => {
    if (!pool.ending) logger.warn({ reason: error.message }, "a database connection was lost");
  };
  pool.on("error", onLost);
  const open = new Set<Promise<void>>();
  pool.on("connect", (client) => {
    // While a query is not running, a connection that breaks tells nobody but this listener.
    client.on("error", onLost);
    const ended = new Promise<void>((resolve) => client.once("end", resolve)).finally(() =>
      open.delete(ended),
    );
    open.add(ended);
  });
  const close = async (): Promise<void> => {
    await pool.end();
    // The pool only asks its connections to end. Who stops PostgreSQL next would cut them.
    await Promise.all(open);
  };
  const kysely = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: watchPool(pool) }) });
  return { kysely, pool, [Symbol.asyncDispose]: close };
}

/**
 * Waits until PostgreSQL answers: it may be starting beside us.
 *
 * @throws {WrennError} with a sentence for the operator when it does not in time, or refuses us.
 */
export async function waitForDatabase(
  { pool }: Database,
  options: { url: string; timeoutMs: number; signal: AbortSignal },
): Promise<void> {
  const deadline = performance.now() + options.timeoutMs;
  for (let waitMs = 50; ; waitMs = Math.min(2 * waitMs, 1000)) {
    try {
      await pool.query("SELECT 1");
      return;
    } catch (error) {
      const problem = databaseError(error);
      const passing = problem instanceof WrennError && problem.code === "database_unavailable";
      if (!passing || performance.now() + waitMs > deadline) throw startError(options.url, error, passing);
    }
    await sleep(waitMs, undefined, { signal: options.signal });
  }
}

function startError(url: string, cause: unknown, passing: boolean): WrennError {
  const { hostname, port, username, pathname } = new URL(url);
  const server = `PostgreSQL at ${hostname}:${port || 5432}`;
  return passing
    ? new WrennError("database_unavailable", `${server} cannot be reached; start it or mend DATABASE_URL`, {
        cause,
      })
    : new WrennError(
        "config_invalid",
        `${server} refuses user "${username}" or database "${pathname.slice(1)}"; mend DATABASE_URL`,
        { cause },
      );
}
