import { Health } from "@wrenn/contracts/rest";
import { wrennVersion } from "@wrenn/daemon";
import type { Kysely } from "kysely";
import type { Api } from "../api.ts";
import type { Schema } from "../database/schema.ts";
import { readiness } from "./service.ts";

/** For supervisors, who restart what does not live, and load balancers, who ask only what can serve. */
export function metaRoutes(api: Api, db: Kysely<Schema>): void {
  const route = {
    tags: ["meta"],
    security: [],
    response: { 200: Health, 503: Health },
  };
  api.get(
    "/health",
    { schema: { ...route, operationId: "health", summary: "Whether this control plane lives" } },
    async () => ({ status: "ok" as const, version: wrennVersion }),
  );
  // The server listens only after the migrations.
  api.get(
    "/ready",
    { schema: { ...route, operationId: "ready", summary: "Whether this control plane can serve" } },
    async (_request, reply) => {
      const state = await readiness(db);
      return reply.code(state.status === "ok" ? 200 : 503).send(state);
    },
  );
}
