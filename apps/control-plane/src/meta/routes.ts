import { Health } from "@wrenn/contracts/rest";
import type { Kysely } from "kysely";
import type { Api } from "../api.ts";
import type { Schema } from "../database/schema.ts";
import { health } from "./service.ts";

/** For load balancers and supervisors. The server listens only after the migrations, so both ask the same. */
export function metaRoutes(api: Api, db: Kysely<Schema>): void {
  for (const [path, operationId] of [
    ["/health", "health"],
    ["/ready", "ready"],
  ] as const) {
    api.get(
      path,
      {
        schema: {
          operationId,
          tags: ["meta"],
          summary: "Whether this control plane can serve",
          security: [],
          response: { 200: Health, 503: Health },
        },
      },
      async (_request, reply) => {
        const state = await health(db);
        return reply.code(state.status === "ok" ? 200 : 503).send(state);
      },
    );
  }
}
