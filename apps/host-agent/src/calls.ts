import type { Interceptor } from "@connectrpc/connect";
import { toConnectError, WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import type { AgentMetrics } from "./metrics/metrics.ts";

/** Calls that are operations on a capsule, and what metrics call them. */
const operations: Readonly<Record<string, string>> = {
  CreateCapsule: "create",
  DestroyCapsule: "destroy",
  PauseCapsule: "pause",
  ResumeCapsule: "resume",
  HibernateCapsule: "hibernate",
  SnapshotCapsule: "snapshot",
  ForkCapsule: "fork",
};

/**
 * One line and one observation for each call, and the one place where errors become Connect's: what is not in the
 * catalogue is a defect and goes to the log. A call that is answered by a stream is observed when the stream ends.
 */
export function observeCalls(logger: Logger, metrics: AgentMetrics): Interceptor {
  return (next) => async (request) => {
    const call = new Call(request.method.name, request.stream ? {} : request.message, logger, metrics);
    try {
      const response = await next(request);
      if (response.stream) return { ...response, message: observed(response.message, call) };
      call.succeeded();
      return response;
    } catch (error) {
      throw call.failed(error);
    }
  };
}

class Call {
  readonly #method: string;
  readonly #logger: Logger;
  readonly #metrics: AgentMetrics;
  readonly #started = performance.now();

  constructor(method: string, message: object, logger: Logger, metrics: AgentMetrics) {
    this.#method = method;
    this.#metrics = metrics;
    this.#logger = logger.child({ method, ...subjectOf(message) });
  }

  succeeded(): void {
    this.#ended("ok");
  }

  failed(error: unknown): Error {
    if (error instanceof WrennError) this.#ended(error.code);
    else {
      this.#logger.error({ err: error }, "call failed");
      this.#ended("internal_error");
    }
    return toConnectError(error);
  }

  #ended(outcome: string): void {
    const elapsedMs = performance.now() - this.#started;
    const kind = operations[this.#method];
    if (kind) this.#metrics.operation(kind, outcome, elapsedMs / 1000);
    // What changes capsules is worth a line; the rest is many.
    this.#logger[kind ? "info" : "debug"]({ outcome, durationMs: Math.round(elapsedMs) }, "call");
  }
}

/** The ids that a request names, for the log. */
function subjectOf(message: object): { capsule?: string; operation?: string } {
  const { capsuleId, operationId } = message as { capsuleId?: unknown; operationId?: unknown };
  return {
    ...(typeof capsuleId === "string" ? { capsule: capsuleId } : {}),
    ...(typeof operationId === "string" ? { operation: operationId } : {}),
  };
}

async function* observed<T>(messages: AsyncIterable<T>, call: Call): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    throw call.failed(error);
  }
  call.succeeded();
}
