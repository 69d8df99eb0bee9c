import type { FastifyReply } from "fastify";

/** Aborted when the client leaves before it has its whole answer. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once("close", () => {
    if (!reply.raw.writableFinished) controller.abort(new Error("the client has gone"));
  });
  return controller.signal;
}
