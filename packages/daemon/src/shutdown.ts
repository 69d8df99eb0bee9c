import type { Logger } from "./logger.ts";

/** Runs a daemon until it is told to end, and then its releases, once. */
export interface Lifetime {
  /** Aborted when the daemon is told to end. */
  readonly signal: AbortSignal;
  /** What the daemon holds; released in reverse order. */
  readonly stack: AsyncDisposableStack;
  /** Resolves with the exit code when everything is released. */
  readonly ended: Promise<number>;
  /** Ends the daemon as a signal would; an error makes the exit code 1. */
  end(reason: string, error?: unknown): void;
}

/**
 * Makes the lifetime of this process: SIGTERM, SIGINT and, for a supervised daemon, the end of its supervisor
 * (the IPC channel closes) end it. Releases get `graceMs`; then the process ends with what is left.
 */
export function makeLifetime(logger: Logger, graceMs = 20_000): Lifetime {
  const controller = new AbortController();
  const stack = new AsyncDisposableStack();
  const { promise: ended, resolve } = Promise.withResolvers<number>();
  let failed = false;

  const end = (reason: string, error?: unknown): void => {
    if (error !== undefined) {
      failed = true;
      logger.error({ err: error }, reason);
    }
    if (controller.signal.aborted) return;
    if (error === undefined) logger.info({ reason }, "ending");
    controller.abort(new Error(reason));
    const forced = setTimeout(() => {
      logger.error({ graceMs }, "releases did not finish in time");
      resolve(1);
    }, graceMs).unref();
    stack
      .disposeAsync()
      .catch((cause: unknown) => {
        failed = true;
        logger.error({ err: cause }, "a release failed");
      })
      .finally(() => {
        clearTimeout(forced);
        resolve(failed ? 1 : 0);
      });
  };

  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => end(name));
  if (process.channel) process.once("disconnect", () => end("the supervisor has gone"));
  return { signal: controller.signal, stack, ended, end };
}
