import {
  CreateSnapshotBody,
  CreateSnapshotQuery,
  DeleteSnapshotQuery,
  ListTemplatesQuery,
  SnapshotParams,
  type Template,
  TemplateList,
} from "@wrenn/contracts/rest";
import { Type } from "typebox";
import { type Api, errorResponses, noContent, schemaIds } from "../api.ts";
import { IdempotencyHeaders } from "../idempotency/hooks.ts";
import type { SnapshotService } from "./service.ts";

const tags = ["snapshots"];
const templateSchema = Type.Unsafe<Template>(Type.Ref(schemaIds.template));

export function snapshotRoutes(api: Api, snapshots: SnapshotService): void {
  api.post(
    "/v1/snapshots",
    {
      schema: {
        operationId: "createSnapshot",
        tags,
        summary: "Take a snapshot of a capsule",
        description:
          "Of a running or paused capsule, which goes on as it was. Answers when capsules can be created from it: " +
          "its name is a template's.",
        headers: IdempotencyHeaders,
        querystring: CreateSnapshotQuery,
        body: CreateSnapshotBody,
        response: {
          201: templateSchema,
          ...errorResponses(
            400,
            "not_found",
            "name_taken",
            "invalid_state",
            "conflict",
            "request_in_progress",
            "idempotency_key_reused",
            "agent_error",
            "host_unavailable",
            "host_memory_full",
            "host_disk_full",
          ),
        },
      },
      config: { idempotent: true },
    },
    async ({ body, caller, idempotency: key, log: logger, query }, reply) => {
      const replace = query.overwrite === "true";
      const snapshot = await snapshots.create({ teamId: caller.teamId, body, replace, key, logger });
      return reply.code(201).send(snapshot);
    },
  );

  api.get(
    "/v1/snapshots",
    {
      schema: {
        operationId: "listSnapshots",
        tags,
        summary: "List what capsules can be created from",
        description: "Templates of the platform, and the team's snapshots, newest first.",
        querystring: ListTemplatesQuery,
        response: { 200: TemplateList, ...errorResponses(400) },
      },
    },
    async ({ caller, query }) => snapshots.list(caller.teamId, query.type),
  );

  api.get(
    "/v1/snapshots/:name",
    {
      schema: {
        operationId: "getSnapshot",
        tags,
        summary: "Get a snapshot or template",
        params: SnapshotParams,
        response: { 200: templateSchema, ...errorResponses("not_found") },
      },
    },
    async ({ caller, params }) => snapshots.get(caller.teamId, params.name),
  );

  api.delete(
    "/v1/snapshots/:name",
    {
      schema: {
        operationId: "deleteSnapshot",
        tags,
        summary: "Delete a snapshot",
        description: "Capsules that were created from it live on.",
        params: SnapshotParams,
        querystring: DeleteSnapshotQuery,
        response: { 204: noContent, ...errorResponses(400, "forbidden", "not_found", "template_in_use") },
      },
    },
    async ({ caller, log, params, query }, reply) => {
      await snapshots.delete(caller.teamId, params.name, query.force === "true", log);
      return reply.code(204).send(null);
    },
  );
}
