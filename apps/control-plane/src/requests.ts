import type { IncomingMessage } from "node:http";
import { newId } from "@wrenn/contracts";
import type { Api } from "./api.ts";

/** What a caller may name its request: it gets into our log. */
const acceptable = /^[A-Za-z0-9._:-]{1,128}$/;

/** The caller's `X-Request-Id`, or one of ours. */
export function requestId(request: Pick<IncomingMessage, "headers">): string {
  const given = request.headers["x-request-id"];
  return typeof given === "string" && acceptable.test(given) ? given : newId("request");
}

const probes = new Set(["/health", "/ready"]);

/** Gives every answer the id of its request, and the log one line about it. */
export function nameAndLogRequests(api: Api): void {
  api.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id);
  });
  api.addHook("onResponse", async (request, reply) => {
    const line = {
      method: request.method,
      // Without the query: what is in it is the client's own.
      path: request.url.split("?", 1)[0],
      status: reply.statusCode,
      durationMs: Math.round(reply.elapsedTime),
    };
    // Probes ask every few seconds, for ever.
    request.log[probes.has(line.path ?? "") ? "debug" : "info"](line, "request");
  });
}
