import {
  CreateHostBody,
  type Host,
  HostList,
  HostParams,
  HostWithToken,
  RemoveHostQuery,
} from "@wrenn/contracts/rest";
import { Type } from "typebox";
import { type Api, errorResponses, noContent, schemaIds } from "../api.ts";
import { requirePlatform } from "../auth/authenticate.ts";
import type { HostService } from "./service.ts";

const tags = ["hosts"];
const hostSchema = Type.Unsafe<Host>(Type.Ref(schemaIds.host));
const onRequest = requirePlatform;

/** For operators: callers with a key of the platform's team. */
export function hostRoutes(api: Api, hosts: HostService): void {
  api.post(
    "/v1/hosts",
    {
      onRequest,
      schema: {
        operationId: "createHost",
        tags,
        summary: "Create a host",
        description: "Answers the token that an agent registers with, once, within an hour.",
        body: CreateHostBody,
        response: { 201: HostWithToken, ...errorResponses(400, 403) },
      },
    },
    async ({ body }, reply) => reply.code(201).send(await hosts.create(body.type)),
  );

  api.get(
    "/v1/hosts",
    {
      onRequest,
      schema: {
        operationId: "listHosts",
        tags,
        summary: "List hosts",
        response: { 200: HostList, ...errorResponses(403) },
      },
    },
    async () => hosts.list(),
  );

  api.get(
    "/v1/hosts/:id",
    {
      onRequest,
      schema: {
        operationId: "getHost",
        tags,
        summary: "Get a host",
        params: HostParams,
        response: { 200: hostSchema, ...errorResponses(403, 404) },
      },
    },
    async ({ params }) => hosts.get(params.id),
  );

  api.post(
    "/v1/hosts/:id/token",
    {
      onRequest,
      schema: {
        operationId: "createRegistrationToken",
        tags,
        summary: "Issue another registration token",
        description: "Those before it that were not used are worth nothing from now on.",
        params: HostParams,
        response: { 201: HostWithToken, ...errorResponses(403, 404) },
      },
    },
    async ({ params }, reply) => reply.code(201).send(await hosts.issueToken(params.id)),
  );

  api.delete(
    "/v1/hosts/:id",
    {
      onRequest,
      schema: {
        operationId: "removeHost",
        tags,
        summary: "Remove a host",
        description:
          "Refused while capsules or snapshots are on it, but for `force`. Its agent is not let in any more.",
        params: HostParams,
        querystring: RemoveHostQuery,
        response: { 204: noContent, ...errorResponses(400, 403, 404, 409) },
      },
    },
    async ({ params, query }, reply) => {
      await hosts.remove(params.id, query.force === "true");
      return reply.code(204).send(null);
    },
  );
}
