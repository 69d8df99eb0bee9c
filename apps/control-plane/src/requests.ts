import type { IncomingMessage } from "node:http";
import { isId, newId } from "@wrenn/contracts";
import type { FastifyRequest } from "fastify";
import type { Api } from "./api.ts";
import type { Metrics } from "./metrics/metrics.ts";

/** What a caller may name its request: it gets into our log. */
const acceptable = /^[A-Za-z0-9._:-]{1,128}$/;

/** The caller's `X-Request-Id`, or one of ours. */
export function requestId(request: Pick<IncomingMessage, "headers">): string {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && acceptable.test(given) ? given : newId("request");
}

/** Asked every few seconds, for ever, by each prober and host. */
const routine = new Set(["/health", "/ready", "/metrics", "/v1/hosts/:id/report"]);

/** Gives every answer the id of its request, the log one line about it, and the metrics a number. */
export function nameAndLogRequests(api: Api, metrics: Metrics): void {
  api.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id);
    nameSubject(request);
  });
  api.addHook("onResponse", async (request, reply) => {
    const { method, routeOptions } = request;
    const status = reply.statusCode;
    const line = {
      method,
      // Without the query: what is in it is the client's own.
      path: request.url.split("?", 1)[0],
      status,
      durationMs: Math.round(reply.elapsedTime),
    };
    const route = routeOptions.url ?? "none";
    request.log[routine.has(route) && status < 400 ? "debug" : "info"](line, "request");
    metrics.request({ method, route, status, seconds: reply.elapsedTime / 1000 });
  });
}

/** Every line about the request names what it is about, as far as the path says it. */
function nameSubject(request: FastifyRequest): void {
  const { id } = (request.params ?? {}) as { id?: string };
  if (id === undefined) return;
  if (isId("capsule", id)) request.log = request.log.child({ capsule: id });
  else if (isId("host", id)) request.log = request.log.child({ host: id });
}
