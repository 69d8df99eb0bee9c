import { WrennError } from "@wrenn/contracts";
import type { ErrorBody } from "@wrenn/contracts/rest";
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { databaseError } from "../database/availability.ts";
import { requestProblem } from "./request-problem.ts";

/** When to come back: what it names usually takes seconds. */
const retryAfterSec = "2";

/**
 * The edge where errors become answers. Errors of the catalogue carry their own status and text; everything else
 * is a defect: it goes to the log with its stack, and the client gets the id to find it by.
 */
export function handleError(error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): void {
  const known = toWrennError(error);
  const answer =
    known ?? new WrennError("internal_error", "internal error; the log has it under the request id");
  if (!known) request.log.error({ err: error }, "unexpected error");
  else if (known.status >= 500) request.log.warn({ err: error, code: known.code }, "request failed");
  sendError(answer, request, reply);
}

/** For paths that no route has. */
export function handleNotFound(request: FastifyRequest, reply: FastifyReply): void {
  const path = request.url.split("?", 1)[0];
  sendError(new WrennError("not_found", `there is no ${request.method} ${path}`), request, reply);
}

function toWrennError(error: FastifyError | Error): WrennError | undefined {
  if (error instanceof WrennError) return error;
  const problem = requestProblem(error);
  if (problem) return problem;
  const mapped = isDatabaseError(error) ? databaseError(error) : error;
  return mapped instanceof WrennError ? mapped : undefined;
}

/** An error with SQLSTATE. Connection errors are mapped where they arise. */
function isDatabaseError(error: Error): boolean {
  return "severity" in error && "code" in error;
}

function sendError(error: WrennError, request: FastifyRequest, reply: FastifyReply): void {
  const body: ErrorBody = {
    error: {
      code: error.code,
      message: error.message,
      ...(error.field !== undefined && { field: error.field }),
      request_id: request.id,
    },
  };
  const isPassing = error.status === 503 && error.retryable;
  if (isPassing || error.code === "request_in_progress") reply.header("retry-after", retryAfterSec);
  if (error.status === 401) reply.header("www-authenticate", "Bearer");
  reply.code(error.status).type("application/json; charset=utf-8").serializer(JSON.stringify).send(body);
}
