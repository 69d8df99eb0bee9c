import { type Logger, pino } from "pino";
import { oneOf, type Variable } from "./config.ts";

export type { Logger } from "pino";

const levels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

/** `LOG_LEVEL`, the same for every daemon. */
export const logLevelVariable: Variable<(typeof levels)[number]> = {
  name: "LOG_LEVEL",
  parse: oneOf(levels),
  fallback: "info",
};

/** Fields that never reach a log, wherever an object carries them. */
const secretFields = ["token", "password", "apiKey", "authorization", "accessToken", "databaseUrl"];

/** One JSON line per event on stderr; stdout belongs to the program's own output. */
export function makeLogger(name: string, level: string): Logger {
  const paths = secretFields.flatMap((field) => [field, `*.${field}`]);
  return pino(
    { name, level, redact: { paths, censor: "[redacted]" }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ dest: 2, sync: true }),
  );
}
