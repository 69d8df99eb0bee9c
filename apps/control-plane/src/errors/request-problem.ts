import { type ErrorCode, WrennError } from "@wrenn/contracts";
import type { FastifyError, FastifySchemaValidationError } from "fastify";

/** What the server itself refuses, before a handler runs. */
export function requestProblem(error: FastifyError | Error): WrennError | undefined {
  if (!("code" in error) || !("statusCode" in error)) return undefined;
  if (error.validation?.[0]) return validationProblem(error.validation[0], error.validationContext, error);
  if (error.statusCode === undefined || error.statusCode < 400 || error.statusCode >= 500) return undefined;
  const { code, message } = refusals[error.code] ?? { code: "invalid_request", message: error.message };
  return new WrennError(code, message, { cause: error });
}

const refusals: Readonly<Record<string, { code: ErrorCode; message: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: {
    code: "payload_too_large",
    message: "the body is larger than this route takes",
  },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: {
    code: "unsupported_media_type",
    message:
      "the body is of a type that this route does not take; send Content-Type: application/json, or multipart/form-data for files",
  },
  FST_ERR_CTP_INVALID_JSON_BODY: { code: "invalid_request", message: "the body is not valid JSON" },
};

/** Names the field as the client spelled it: `envs.PATH`, `args[0]`. */
function validationProblem(
  problem: FastifySchemaValidationError,
  context: string | undefined,
  cause: Error,
): WrennError {
  const inside = problem.instancePath.split("/").slice(1).map(unescapePointer);
  const missing = problem.params.missingProperty;
  const path = typeof missing === "string" ? [...inside, missing] : inside;
  const field = path.reduce((text, part) => text + spell(part, text === ""), "");
  const what = typeof missing === "string" ? "is missing" : (problem.message ?? "is not valid");
  const choices = problem.params.allowedValues;
  const listed = Array.isArray(choices) ? `: ${choices.join(", ")}` : "";
  return new WrennError("invalid_request", `${field || context || "request"} ${what}${listed}`, {
    field: field || undefined,
    cause,
  });
}

/** RFC 6901, section 4. */
function unescapePointer(part: string): string {
  return part.replaceAll("~1", "/").replaceAll("~0", "~");
}

function spell(part: string, first: boolean): string {
  if (/^\d+$/.test(part)) return `[${part}]`;
  return first ? part : `.${part}`;
}
