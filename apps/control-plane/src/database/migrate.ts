import { createHash } from "node:crypto";
import { WrennError } from "@wrenn/contracts";
import { type Logger, listProgramFiles, readProgramFile } from "@wrenn/daemon";
import type pg from "pg";
import { advisoryLocks } from "./locks.ts";

/** One step forward. There is no step back: a mistake is mended by the next one. */
export interface Migration {
  version: number;
  name: string;
  sql: string;
}

interface AppliedMigration {
  version: number;
  checksum: string;
}

const directory = "apps/control-plane/src/database/migrations";
const fileName = /^(\d{4})-([a-z0-9-]+)\.sql$/;

/** The migrations of this version, in order. */
export async function readMigrations(): Promise<Migration[]> {
  const names = await listProgramFiles(directory);
  return Promise.all(
    names.map(async (file) => {
      const [, version, name] = fileName.exec(file) ?? [];
      if (!version || !name) throw new Error(`${file} is not named like a migration`);
      const sql = (await readProgramFile(`${directory}/${file}`)).toString();
      return { version: Number(version), name, sql };
    }),
  );
}

/**
 * Brings the database to the newest migration. Replicas that start together take turns; each migration is one
 * transaction, so an interrupted one leaves no trace.
 *
 * @throws {WrennError} `config_invalid` when the database is of a newer version, or its history is another.
 */
export async function migrate(pool: pg.Pool, migrations: Migration[], logger: Logger): Promise<void> {
  const client = await pool.connect();
  try {
    // A migration of a large table, and the wait for another replica's, take what they take.
    await client.query("SET statement_timeout = 0");
    await client.query("SELECT pg_advisory_lock($1)", [advisoryLocks.migrations]);
    await client.query(`CREATE TABLE IF NOT EXISTS schema_migrations (
      version    integer     PRIMARY KEY,
      name       text        NOT NULL,
      checksum   text        NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now()
    )`);
    const { rows } = await client.query<AppliedMigration>(
      "SELECT version, checksum FROM schema_migrations ORDER BY version",
    );
    for (const migration of pending(migrations, rows)) {
      await apply(client, migration);
      logger.info({ migration: `${migration.version}-${migration.name}` }, "migrated the database");
    }
  } finally {
    client.release(true); // ends the session, and with it its lock and settings
  }
}

/** What is left to do, after a check that the history of the database is ours. */
function pending(migrations: Migration[], applied: AppliedMigration[]): Migration[] {
  const known = new Map(migrations.map((migration) => [migration.version, migration]));
  for (const { version, checksum } of applied) {
    const migration = known.get(version);
    if (!migration) {
      const sentence = `the database has migration ${version} of a newer Wrenn; start that version or a later one`;
      throw new WrennError("config_invalid", sentence);
    }
    if (checksumOf(migration) !== checksum) {
      const sentence = `migration ${version} in the database is not the one of this Wrenn; restore the right database`;
      throw new WrennError("config_invalid", sentence);
    }
  }
  const done = new Set(applied.map(({ version }) => version));
  return migrations.filter(({ version }) => !done.has(version));
}

async function apply(client: pg.PoolClient, migration: Migration): Promise<void> {
  await client.query("BEGIN");
  try {
    await client.query(migration.sql);
    await client.query("INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)", [
      migration.version,
      migration.name,
      checksumOf(migration),
    ]);
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK").catch(() => {}); // the connection may be gone, and with it the transaction
    throw error;
  }
}

function checksumOf({ sql }: Migration): string {
  return createHash("sha256").update(sql).digest("hex");
}
