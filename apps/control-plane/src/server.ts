import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { WrennError } from "@wrenn/contracts";
import { Capsule, ErrorBody, Host, Template } from "@wrenn/contracts/rest";
import type { Logger } from "@wrenn/daemon";
import { type FastifyBaseLogger, fastify, LogController } from "fastify";
import type { Kysely } from "kysely";
import type { Api } from "./api.ts";
import { makeAuthenticate } from "./auth/authenticate.ts";
import { capsuleRoutes } from "./capsules/routes.ts";
import { capsuleUpdateRoutes } from "./capsules/update-routes.ts";
import type { Schema } from "./database/schema.ts";
import { handleError, handleNotFound } from "./errors/error-handler.ts";
import { execRoutes } from "./exec/routes.ts";
import { fileRoutes } from "./files/routes.ts";
import { agentRoutes } from "./hosts/agent-routes.ts";
import { hostRoutes } from "./hosts/routes.ts";
import { keepAnswers } from "./idempotency/hooks.ts";
import { acceptAbsentFields } from "./json-body.ts";
import { documentationRoutes, registerOpenApi } from "./meta/openapi.ts";
import { metaRoutes } from "./meta/routes.ts";
import { metricsRoute } from "./metrics/routes.ts";
import { nameAndLogRequests, requestId } from "./requests.ts";
import type { Services } from "./services.ts";
import { snapshotRoutes } from "./snapshots/routes.ts";

export interface ServerParts extends Services {
  kysely: Kysely<Schema>;
  metricsToken?: string | undefined;
  logger: Logger;
}

const maxJsonBytes = 1024 * 1024;

/** Makes the HTTP server with all its routes. It does not listen yet. */
export async function buildServer(parts: ServerParts): Promise<Api> {
  const logger: FastifyBaseLogger = parts.logger;
  const api: Api = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }), // ours is one line per request
    genReqId: requestId,
    bodyLimit: maxJsonBytes,
    return503OnClosing: false, // ours says so as every other error does
    forceCloseConnections: "idle",
    routerOptions: { maxParamLength: 256 },
    // Nothing is guessed: "1" is not a number. Fields we do not know are dropped, since clients are of many ages.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: true, useDefaults: true } },
  });
  api.setErrorHandler(handleError);
  api.setNotFoundHandler(handleNotFound);
  nameAndLogRequests(api, parts.metrics);
  refuseWhileClosing(api);
  acceptAbsentFields(api);
  api.addSchema(Capsule);
  api.addSchema(ErrorBody);
  api.addSchema(Host);
  api.addSchema(Template);

  await registerOpenApi(api);
  metaRoutes(api, parts.kysely);
  metricsRoute(api, parts.metrics, parts.metricsToken);
  agentRoutes(api, parts);
  await api.register((scope, _options, done) => {
    scope.decorateRequest("caller");
    scope.addHook("onRequest", makeAuthenticate(parts.kysely, parts.background));
    const authenticated = scope.withTypeProvider<TypeBoxTypeProvider>();
    keepAnswers(authenticated, parts.idempotency);
    capsuleRoutes(authenticated, parts.capsules);
    capsuleUpdateRoutes(authenticated, parts.capsuleUpdates);
    execRoutes(authenticated, parts.capsules);
    fileRoutes(authenticated, parts.capsules);
    snapshotRoutes(authenticated, parts.snapshots);
    hostRoutes(authenticated, parts.hostService);
    done();
  });
  await documentationRoutes(api);
  await api.ready();
  return api;
}

/**
 * Refuses requests that arrive, or arrive completely, after we have begun to end, and closes each connection when
 * what is under way on it is done: clients keep connections for later.
 */
function refuseWhileClosing(api: Api): void {
  let closing = false;
  api.addHook("preClose", async () => {
    closing = true;
  });
  api.addHook("onRequest", async (_request, reply) => {
    if (!closing) return;
    reply.header("connection", "close");
    throw new WrennError("shutting_down", "this control plane is going down; try again");
  });
  api.addHook("onSend", async (_request, reply) => {
    if (closing && !reply.raw.headersSent) reply.header("connection", "close");
  });
  api.addHook("onResponse", async () => {
    if (closing) setImmediate(() => api.server.closeIdleConnections());
  });
}
