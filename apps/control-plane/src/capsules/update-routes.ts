import { type Capsule, CapsuleParams, UpdateCapsuleBody } from "@wrenn/contracts/rest";
import { Type } from "typebox";
import { type Api, errorResponses, noContent, schemaIds } from "../api.ts";
import type { CapsuleUpdates } from "./update.ts";
import { toWire } from "./wire.ts";

const tags = ["capsules"];
const capsuleSchema = Type.Unsafe<Capsule>(Type.Ref(schemaIds.capsule));

export function capsuleUpdateRoutes(api: Api, updates: CapsuleUpdates): void {
  api.patch(
    "/v1/capsules/:id",
    {
      schema: {
        operationId: "updateCapsule",
        tags,
        summary: "Change a capsule's time rules or metadata",
        description:
          "Whatever its state. What is absent stays as it is; `metadata` is replaced as a whole. " +
          "A host that cannot be reached is told later.",
        params: CapsuleParams,
        body: UpdateCapsuleBody,
        response: { 200: capsuleSchema, ...errorResponses("invalid_request", "not_found") },
      },
    },
    async ({ body, caller, params, log }) =>
      toWire(await updates.update(caller.teamId, params.id, body, log)),
  );

  api.post(
    "/v1/capsules/:id/ping",
    {
      schema: {
        operationId: "pingCapsule",
        tags,
        summary: "Say that a capsule is used",
        description: "Its time without activity begins anew.",
        params: CapsuleParams,
        response: { 204: noContent, ...errorResponses("not_found", "invalid_state", "agent_error") },
      },
    },
    async ({ caller, params }, reply) => {
      await updates.ping(caller.teamId, params.id);
      return reply.code(204).send(null);
    },
  );
}
