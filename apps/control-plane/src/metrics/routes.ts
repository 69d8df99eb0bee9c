import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { WrennError } from "@wrenn/contracts";
import { isLoopback } from "@wrenn/daemon";
import type { FastifyRequest } from "fastify";
import type { Api } from "../api.ts";
import type { Metrics } from "./metrics.ts";

/** Headers by which a proxy on this machine says that somebody else asks. */
const forwarding = [
  "forwarded",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-real-ip",
];

/**
 * `/metrics` in the text format of Prometheus, for callers on this machine and for who has the token. For all others
 * there is no such thing.
 */
export function metricsRoute(api: Api, metrics: Metrics, token: string | undefined): void {
  api.get("/metrics", { schema: { hide: true } }, async (request, reply) => {
    admit(request, token);
    return reply.type(metrics.registry.contentType).send(await metrics.registry.metrics());
  });
}

function admit(request: FastifyRequest, token: string | undefined): void {
  if (isLocal(request)) return;
  const presented = /^bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? "")?.[1];
  if (token === undefined || presented === undefined) {
    throw new WrennError("not_found", `there is no ${request.method} /metrics`);
  }
  if (!equal(presented, token)) {
    throw new WrennError("unauthorized", "the token is not the one of WRENN_METRICS_TOKEN");
  }
}

function isLocal({ ip, headers }: { ip: string; headers: IncomingHttpHeaders }): boolean {
  return isLoopback(ip.replace(/^::ffff:/, "")) && forwarding.every((name) => headers[name] === undefined);
}

/** In a time that says nothing about where two texts differ, nor about their lengths. */
function equal(one: string, other: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}
