import type { FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import type { Api } from "../api.ts";
import { clientGone } from "../client-gone.ts";
import type { IdempotencyKeys } from "./keys.ts";
import { OwnedKey } from "./owned-key.ts";
import { requestHash } from "./request-hash.ts";

declare module "fastify" {
  interface FastifyContextConfig {
    /** Whether the route takes an `Idempotency-Key`. Its answers are JSON, and hold no secret: they are kept. */
    idempotent?: boolean;
  }

  interface FastifyRequest {
    /** The request's key, where the route takes one and the client sent one. */
    idempotency: OwnedKey | undefined;
    requestHash: Buffer | undefined;
  }
}

const headerName = "idempotency-key";

/** Headers of a route that takes a key. */
export const IdempotencyHeaders = Type.Object({
  [headerName]: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      pattern: "^[!-~]*$",
      description:
        "The request is done once, however often it is sent with this key within 24 hours; each time it has the same answer.",
    }),
  ),
});

/** For routes that take a key: the first request of a key is handled, the same ones get its answer. */
export function keepAnswers(api: Api, keys: IdempotencyKeys): void {
  api.decorateRequest("idempotency");
  api.decorateRequest("requestHash");
  // Before validation fills in what is usual, which another version may see otherwise.
  api.addHook("preValidation", async (request) => {
    if (keyOf(request) !== undefined) request.requestHash = requestHash(request);
  });
  api.addHook("preHandler", async (request, reply) => {
    const { requestHash: hash } = request;
    const key = keyOf(request);
    if (key === undefined || hash === undefined) return undefined;
    const begun = await keys.begin({ teamId: request.caller.teamId, key, hash }, clientGone(reply));
    if (begun instanceof OwnedKey) {
      request.idempotency = begun;
      return undefined;
    }
    return replay(reply, begun);
  });
  api.addHook("onSend", async (request, reply, payload) => {
    const { idempotency, log } = request;
    request.idempotency = undefined;
    const body = typeof payload === "string" ? payload : null;
    await idempotency?.finish({ status: reply.statusCode, body }).catch((err: unknown) => {
      log.warn({ err }, "the answer to an idempotent request could not be kept");
    });
    return payload;
  });
}

function replay(reply: FastifyReply, { status, body }: { status: number; body: string | null }) {
  reply.code(status).header("idempotency-replayed", "true");
  return body === null ? reply.send() : reply.type("application/json; charset=utf-8").send(body);
}

function keyOf({ headers, routeOptions }: FastifyRequest): string | undefined {
  const key = headers[headerName];
  return routeOptions.config.idempotent && typeof key === "string" ? key : undefined;
}
