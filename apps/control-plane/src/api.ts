import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from "fastify";
import { Type } from "typebox";
import { type ExampleCode, exampleOf } from "./errors/examples.ts";

/** The server as routes see it: schemas give bodies and answers their types. */
export type Api = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

/** Schemas that are described once, and referred to. */
export const schemaIds = { capsule: "Capsule", error: "Error", host: "Host", template: "Template" } as const;

const descriptions = {
  400: "The request is wrong; `field` names where.",
  401: "No valid API key or token.",
  403: "Not allowed.",
  404: "There is no such thing.",
  409: "Not in a state that allows it.",
  413: "The body is too large.",
  415: "The body is of another type.",
  422: "The `Idempotency-Key` was used for another request.",
  502: "The host agent failed.",
  503: "The host or the database cannot be reached; try again.",
  504: "The command ran longer than `timeout_sec`.",
} as const;

type ErrorStatus = keyof typeof descriptions;

/**
 * Answers of a route that are errors: those every route has, and its own.
 *
 * @param answers statuses, and codes that the description is to show examples of.
 */
export function errorResponses(...answers: (ErrorStatus | ExampleCode)[]): Record<number, unknown> {
  const examples = answers.filter((answer) => typeof answer === "string").map(shownAs);
  const statuses = answers.filter((answer) => typeof answer === "number");
  const all = [...new Set<number>([401, 503, ...statuses, ...examples.map(({ status }) => status)])].sort();
  return Object.fromEntries(
    all.map((status) => {
      const ofStatus = examples.filter((example) => example.status === status);
      return [
        status,
        errorResponse(status as ErrorStatus, Object.assign({}, ...ofStatus.map(({ shown }) => shown))),
      ];
    }),
  );
}

function shownAs(code: ExampleCode) {
  const { status, body } = exampleOf(code);
  return { status, shown: { [code]: { value: body } } };
}

function errorResponse(status: ErrorStatus, examples: Record<string, unknown>): unknown {
  const description = descriptions[status];
  if (Object.keys(examples).length === 0) return Type.Ref(schemaIds.error, { description });
  const schema = Type.Ref(schemaIds.error);
  return { description, content: { "application/json": { schema, examples } } };
}

/** An answer without a body. */
export const noContent = Type.Null({ description: "Done." });
