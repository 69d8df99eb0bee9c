import type { Logger } from "@wrenn/daemon";

/** What operations log to: the process's logger, or a request's, which names the request. */
export interface Log extends Pick<Logger, "debug" | "info" | "warn" | "error"> {
  child(bindings: Record<string, unknown>): Log;
}
