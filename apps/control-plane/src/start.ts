import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { announceReady, dialUrl, type Logger } from "@wrenn/daemon";
import { startEmbeddedPostgres } from "@wrenn/postgres";
import { renewRegularly } from "./authority/renewal.ts";
import type { ControlPlaneConfig } from "./config.ts";
import { connectDatabase, type Database, waitForDatabase } from "./database/connect.ts";
import { migrate, readMigrations } from "./database/migrate.ts";
import { forgetOldKeys } from "./idempotency/keys.ts";
import { closeServer, listen } from "./listen.ts";
import { measureProcess } from "./metrics/process.ts";
import { ensureOwner } from "./owner/service.ts";
import { startSettler } from "./reports/settler.ts";
import { buildServer } from "./server.ts";
import { openServices } from "./services.ts";
import { startSnapshotSettler } from "./snapshots/settler.ts";
import { listenTls, type TlsListener } from "./tls-listener.ts";

/** What the control plane needs of the process it runs in. */
export interface Surroundings {
  /** Gives up starting. */
  signal: AbortSignal;
  /** Ends the process: something that it cannot do without is gone. */
  end(reason: string, error: unknown): void;
}

const databaseWaitMs = 30_000;

/** Starts everything, in order; disposing of the result ends it in the opposite order. */
export async function startControlPlane(
  config: ControlPlaneConfig,
  logger: Logger,
  surroundings: Surroundings,
): Promise<AsyncDisposable> {
  const { signal } = surroundings;
  await using stack = new AsyncDisposableStack();
  await mkdir(config.wrennDir, { recursive: true });
  const url = config.databaseUrl ?? (await startDatabase(config, logger, surroundings, stack));
  const database = stack.use(connectDatabase(url, logger));
  await prepareDatabase(database, url, config, logger, signal);

  const services = await openServices(database, config, logger, stack);
  stack.use(startSettler({ ...services.settling, logger }));
  stack.use(startSnapshotSettler({ ...services.settlingSnapshots, logger }));
  stack.use(forgetOldKeys(services.idempotency, logger));
  measureProcess(services.metrics);
  const { kysely } = database;
  const api = await buildServer({ kysely, ...services, metricsToken: config.metricsToken, logger });
  let tls: TlsListener | undefined;
  stack.defer(() => closeServer(api, tls));
  stack.use(renewRegularly(services.authority, logger, () => tls?.renew()));
  signal.throwIfAborted();
  const address = await listen(api, config.listenAddress);
  if (config.tlsListenAddress) {
    tls = await listenTls(api, config.tlsListenAddress, services.authority);
    logger.info({ port: tls.address.port, names: services.authority.names }, "serving TLS");
  }
  announceReady(dialUrl(address));
  return stack.move();
}

async function startDatabase(
  config: ControlPlaneConfig,
  logger: Logger,
  { signal, end }: Surroundings,
  stack: AsyncDisposableStack,
): Promise<string> {
  const dir = join(config.wrennDir, "postgres");
  const postgres = stack.use(await startEmbeddedPostgres({ dir, logger, signal }));
  let stopping = false;
  stack.defer(() => {
    stopping = true;
  });
  void postgres.exited.then((exit) => {
    if (!stopping)
      end("PostgreSQL has ended", new Error(`PostgreSQL ended with ${exit.signal ?? exit.code}`));
  });
  return postgres.databaseUrl;
}

async function prepareDatabase(
  database: Database,
  url: string,
  config: ControlPlaneConfig,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  await waitForDatabase(database, { url, timeoutMs: databaseWaitMs, signal });
  await migrate(database.pool, await readMigrations(), logger);
  // What a supervisor gets from us goes to a log; it shows the account's file to whoever started it.
  const isSupervised = process.send !== undefined;
  const print = (text: string): void => void (isSupervised || process.stdout.write(text));
  await ensureOwner(database.kysely, { ownerFile: config.ownerFile, logger, print });
}
