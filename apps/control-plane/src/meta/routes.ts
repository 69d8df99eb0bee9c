import { Health } from "@wrenn/contracts/rest";
import type { Kysely } from "kysely";
import type { Api } from "../api.ts";
import type { Schema } from "../database/schema.ts";
import { readiness } from "./service.ts";

/**
 * For load balancers and supervisors: whether requests can be served, which without the database none can. The server
 * listens only after the migrations, and refuses both while it goes down.
 */
export function metaRoutes(api: Api, db: Kysely<Schema>): void {
  for (const [path, operationId] of [
    ["/health", "health"],
    ["/ready", "ready"],
  ] as const) {
    const schema = {
      operationId,
      tags: ["meta"],
      summary: "Whether this control plane can serve",
      security: [],
      response: { 200: Health, 503: Health },
    };
    api.get(path, { schema }, async (_request, reply) => {
      const state = await readiness(db);
      return reply.code(state.status === "ok" ? 200 : 503).send(state);
    });
  }
}
