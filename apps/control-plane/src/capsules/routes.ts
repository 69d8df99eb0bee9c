import {
  type Capsule,
  CapsuleList,
  CapsuleParams,
  CreateCapsuleBody,
  ForkCapsuleBody,
  ResumeCapsuleBody,
} from "@wrenn/contracts/rest";
import { Type } from "typebox";
import { type Api, errorResponses, noContent, schemaIds } from "../api.ts";
import { IdempotencyHeaders } from "../idempotency/hooks.ts";
import type { CapsuleService } from "./service.ts";
import { toWire } from "./wire.ts";

const tags = ["capsules"];
const capsuleSchema = Type.Unsafe<Capsule>(Type.Ref(schemaIds.capsule));

export function capsuleRoutes(api: Api, capsules: CapsuleService): void {
  api.post(
    "/v1/capsules",
    {
      schema: {
        operationId: "createCapsule",
        tags,
        summary: "Create a capsule",
        description: "Answers when the capsule runs.",
        headers: IdempotencyHeaders,
        body: CreateCapsuleBody,
        response: {
          201: capsuleSchema,
          ...errorResponses(
            "invalid_request",
            "not_found",
            "request_in_progress",
            "idempotency_key_reused",
            "agent_error",
            "host_unavailable",
            "host_full",
            "host_disk_full",
          ),
        },
      },
      config: { idempotent: true },
    },
    async (request, reply) => {
      const { body, caller, idempotency, log } = request;
      const capsule = await capsules.create(caller.teamId, body, log, idempotency);
      request.log = request.log.child({ capsule: capsule.id });
      return reply.code(201).send(toWire(capsule));
    },
  );

  api.get(
    "/v1/capsules",
    {
      schema: {
        operationId: "listCapsules",
        tags,
        summary: "List capsules",
        description: "Newest first, without stopped ones.",
        response: { 200: CapsuleList, ...errorResponses() },
      },
    },
    async ({ caller }) => (await capsules.list(caller.teamId)).map((row) => toWire(row)),
  );

  api.get(
    "/v1/capsules/:id",
    {
      schema: {
        operationId: "getCapsule",
        tags,
        summary: "Get a capsule",
        description: "Stopped ones too.",
        params: CapsuleParams,
        response: { 200: capsuleSchema, ...errorResponses(404) },
      },
    },
    async ({ caller, params }) => toWire(await capsules.get(caller.teamId, params.id)),
  );

  api.delete(
    "/v1/capsules/:id",
    {
      schema: {
        operationId: "destroyCapsule",
        tags,
        summary: "Destroy a capsule",
        description: "Whatever its state; repeating it is fine.",
        params: CapsuleParams,
        response: { 204: noContent, ...errorResponses(404, 502) },
      },
    },
    async ({ caller, params, log }, reply) => {
      await capsules.destroy(caller.teamId, params.id, log);
      return reply.code(204).send(null);
    },
  );

  const commandErrors = [
    400,
    "not_found",
    "invalid_state",
    "conflict",
    "request_in_progress",
    "idempotency_key_reused",
    "agent_error",
    "host_unavailable",
    "host_memory_full",
    "host_disk_full",
  ] as const;
  const commandResponse = { 200: capsuleSchema, ...errorResponses(...commandErrors) };

  api.post(
    "/v1/capsules/:id/pause",
    {
      schema: {
        operationId: "pauseCapsule",
        tags,
        summary: "Pause a capsule",
        description: "Saves its memory and disk, and ends its machine. Answers when that is done.",
        params: CapsuleParams,
        headers: IdempotencyHeaders,
        response: commandResponse,
      },
      config: { idempotent: true },
    },
    async ({ caller, params, idempotency, log }) =>
      toWire(await capsules.pause(caller.teamId, params.id, log, idempotency)),
  );

  api.post(
    "/v1/capsules/:id/resume",
    {
      schema: {
        operationId: "resumeCapsule",
        tags,
        summary: "Resume a capsule",
        description: "Starts it where it was paused, or its kernel anew on its disk. Answers when it runs.",
        params: CapsuleParams,
        headers: IdempotencyHeaders,
        body: ResumeCapsuleBody,
        response: {
          200: capsuleSchema,
          ...errorResponses(...commandErrors, "host_full", "snapshot_corrupt", "snapshot_incompatible"),
        },
      },
      config: { idempotent: true },
    },
    async ({ caller, params, body, idempotency, log }) =>
      toWire(await capsules.resume(caller.teamId, params.id, body, log, idempotency)),
  );

  api.post(
    "/v1/capsules/:id/hibernate",
    {
      schema: {
        operationId: "hibernateCapsule",
        tags,
        summary: "Hibernate a paused capsule",
        description:
          "Moves it to the archive, compressed. It is resumed as a paused one is, and takes longer.",
        params: CapsuleParams,
        headers: IdempotencyHeaders,
        response: commandResponse,
      },
      config: { idempotent: true },
    },
    async ({ caller, params, idempotency, log }) =>
      toWire(await capsules.hibernate(caller.teamId, params.id, log, idempotency)),
  );

  api.post(
    "/v1/capsules/:id/fork",
    {
      schema: {
        operationId: "forkCapsule",
        tags,
        summary: "Fork a capsule",
        description:
          "Makes copies of a running or paused one, from one snapshot of it: all of them, or none. It goes on as it was.",
        params: CapsuleParams,
        headers: IdempotencyHeaders,
        body: ForkCapsuleBody,
        response: { 201: CapsuleList, ...errorResponses(...commandErrors, "host_full") },
      },
      config: { idempotent: true },
    },
    async ({ caller, params, body, idempotency, log }, reply) => {
      const copies = await capsules.fork(caller.teamId, params.id, body, log, idempotency);
      return reply.code(201).send(copies.map((row) => toWire(row)));
    },
  );
}
