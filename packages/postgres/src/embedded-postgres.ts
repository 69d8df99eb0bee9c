import { mkdir } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";
import { type Logger, lockDirectory, writeFileAtomic } from "@wrenn/daemon";
import { findBinaries, type PostgresBinaries } from "./binaries.ts";
import { adminRole, databaseName, databaseRole, ensureCluster } from "./cluster.ts";
import { type Layout, layoutOf } from "./layout.ts";
import { endLeftover } from "./leftover.ts";
import { choosePort, isPortFree } from "./port.ts";
import { type ServerExit, type ServerProcess, spawnServer } from "./server-process.ts";
import { startupError } from "./startup-error.ts";

export interface EmbeddedPostgresOptions {
  /** Directory of its own: `data/`, `password` and `port` are in it. Made when absent. */
  dir: string;
  logger: Logger;
  /** Gives up starting. A started server is stopped by its owner. */
  signal?: AbortSignal | undefined;
}

/** A running PostgreSQL of this process alone. */
export interface EmbeddedPostgres extends AsyncDisposable {
  /** Connection string of the database's owner. Holds the password: not for logs or arguments. */
  readonly databaseUrl: string;
  /** Connection string of the superuser, for maintenance. */
  readonly adminUrl: string;
  readonly pid: number;
  /** Resolves when the server has ended, stopped or not. */
  readonly exited: Promise<ServerExit>;
  /** Ends the server, within some 30 s, and gives the directory back. Can be called more than once. */
  stop(): Promise<void>;
}

/** Another process may take a port between our look at it and PostgreSQL's. */
const portAttempts = 3;

/**
 * Starts the PostgreSQL that comes with Wrenn on a directory, which it makes the first time (0.7 s; 0.1 s later).
 *
 * It listens on 127.0.0.1 only and asks for a password. It gets SIGINT when this process dies, and the next start
 * ends it if that was not enough.
 *
 * @throws {WrennError} with a sentence that says what to do.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { logger, signal } = options;
  const layout = layoutOf(options.dir);
  await using stack = new AsyncDisposableStack();
  try {
    await mkdir(layout.dir, { recursive: true, mode: 0o700 });
    stack.use(await lockDirectory(layout.dir, "postgres"));
    const binaries = await findBinaries(layout, signal);
    const { password } = await ensureCluster(layout, binaries, signal);
    await endLeftover(layout.data, logger, signal);
    const { server, port } = await startServer(layout, binaries, logger, signal);
    stack.defer(() => server.stop());
    await writeFileAtomic(layout.port, String(port));
    return embeddedPostgres(server, port, password, stack.move());
  } catch (error) {
    if (signal?.aborted) throw error;
    throw await startupError(layout.dir, error);
  }
}

async function startServer(
  layout: Layout,
  binaries: PostgresBinaries,
  logger: Logger,
  signal: AbortSignal | undefined,
): Promise<{ server: ServerProcess; port: number }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort(layout.port);
    const server = spawnServer(layout.data, port, binaries, logger);
    try {
      await untilReady(server, signal);
      return { server, port };
    } catch (error) {
      await server.stop().catch(() => {});
      if (signal?.aborted || (await isPortFree(port))) throw error;
      if (attempt === portAttempts) throw portTaken(port, error);
    }
  }
}

async function untilReady(server: ServerProcess, signal: AbortSignal | undefined): Promise<void> {
  const failed = server.exited.then(({ code, signal: by }) => {
    throw new Error(`postgres ended with ${by ?? `code ${code}`}: ${server.log.lastLines()}`);
  });
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([server.log.ready, failed, aborted.promise]);
  } finally {
    signal?.removeEventListener("abort", abort);
    failed.catch(() => {}); // it ends some day, and then nobody waits here
  }
}

function portTaken(port: number, cause: unknown): WrennError {
  const sentence = `port ${port} on 127.0.0.1 was taken while PostgreSQL started; start again`;
  return new WrennError("port_in_use", sentence, { cause });
}

function embeddedPostgres(
  server: ServerProcess,
  port: number,
  password: string,
  held: AsyncDisposableStack,
): EmbeddedPostgres {
  const urlOf = (role: string): string => `postgres://${role}:${password}@127.0.0.1:${port}/${databaseName}`;
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopped ??= held.disposeAsync();
    return stopped;
  };
  return {
    databaseUrl: urlOf(databaseRole),
    adminUrl: urlOf(adminRole),
    pid: server.pid,
    exited: server.exited,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
