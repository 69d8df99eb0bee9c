import { BackgroundProcess, CapsuleParams, ExecBody, ExecResult } from "@wrenn/contracts/rest";
import { type Api, errorResponses } from "../api.ts";
import { refuseInterrupted } from "../capsules/made-again.ts";
import type { CapsuleService } from "../capsules/service.ts";
import { clientGone } from "../client-gone.ts";
import { IdempotencyHeaders } from "../idempotency/hooks.ts";
import { runBackground, runForeground } from "./service.ts";
import { checkExec } from "./validate.ts";

export function execRoutes(api: Api, capsules: CapsuleService): void {
  api.post(
    "/v1/capsules/:id/exec",
    {
      schema: {
        operationId: "exec",
        tags: ["exec"],
        summary: "Run a command",
        description: "Answers when the command has ended, or at once when it runs in the background.",
        params: CapsuleParams,
        headers: IdempotencyHeaders,
        body: ExecBody,
        response: {
          200: ExecResult,
          202: BackgroundProcess,
          ...errorResponses(400, 404, 409, 422, 502, 504),
        },
      },
      config: { idempotent: true },
    },
    async (request, reply) => {
      const { body, caller, idempotency, params, log: logger } = request;
      checkExec(body);
      refuseInterrupted(idempotency);
      const use = { teamId: caller.teamId, id: params.id, kind: "exec", logger } as const;
      if (body.background) {
        const started = await capsules.use(use, (capsule) => runBackground(capsule, body));
        return reply.code(202).send(started);
      }
      // With a key somebody may come for the answer who is not this client.
      const gone = idempotency ? new AbortController().signal : clientGone(reply);
      return capsules.use({ ...use, signal: gone }, (capsule) => runForeground(capsule, body, gone));
    },
  );
}
