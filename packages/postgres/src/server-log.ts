import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Logger } from "@wrenn/daemon";

const keptLines = 20;

/** What PostgreSQL writes when it takes connections (postmaster.c). With `lc_messages=C` it never varies. */
const readyLine = "database system is ready to accept connections";

/** What a server says on standard error: passed to our log, and the last of it kept. */
export interface ServerLog {
  /** Resolves when the server takes connections. */
  readonly ready: Promise<void>;
  lastLines(): string;
}

export function readServerLog(stderr: Readable, logger: Logger): ServerLog {
  const kept: string[] = [];
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  createInterface({ input: stderr }).on("line", (line) => {
    kept.push(line);
    if (kept.length > keptLines) kept.shift();
    logger[levelOf(line)]({ line }, "postgres");
    if (line.includes(readyLine)) resolve();
  });
  return { ready, lastLines: () => kept.join("\n") };
}

function levelOf(line: string): "debug" | "warn" | "error" {
  if (line.startsWith("PANIC:")) return "error";
  // To PostgreSQL, FATAL is the end of one connection.
  return /^(WARNING|ERROR|FATAL):/.test(line) ? "warn" : "debug";
}
