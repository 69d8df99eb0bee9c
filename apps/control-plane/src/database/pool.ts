import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from "kysely";
import type pg from "pg";
import { databaseError } from "./availability.ts";

/** The pool as the query builder sees it: its errors are ours. One wrapper per connection, since it keeps them. */
export function watchPool(pool: pg.Pool): PostgresPool {
  const watched = new WeakMap<pg.PoolClient, PostgresPoolClient>();
  return {
    options: {},
    end: () => pool.end(),
    async connect() {
      const client = await pool.connect().catch(rethrow);
      const known = watched.get(client);
      if (known) return known;
      const made = watchClient(client);
      watched.set(client, made);
      return made;
    },
  };
}

function watchClient(client: pg.PoolClient): PostgresPoolClient {
  const query = (text: string, values: unknown[]): Promise<PostgresQueryResult<unknown>> =>
    client.query(text, values).catch(rethrow) as Promise<unknown> as Promise<PostgresQueryResult<unknown>>;
  return {
    query: query as PostgresPoolClient["query"],
    release: (destroy) => client.release(destroy),
  };
}

function rethrow(error: unknown): never {
  throw databaseError(error);
}
