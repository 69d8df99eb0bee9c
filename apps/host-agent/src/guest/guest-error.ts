import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorCode, WrennError } from "@wrenn/contracts";

const codeOfConnect: Partial<Record<Code, ErrorCode>> = {
  [Code.InvalidArgument]: "invalid_request",
  [Code.NotFound]: "not_found",
  [Code.AlreadyExists]: "conflict",
  [Code.FailedPrecondition]: "conflict",
  [Code.PermissionDenied]: "forbidden",
  [Code.DeadlineExceeded]: "deadline_exceeded",
  [Code.ResourceExhausted]: "no_space",
  // The host's token is always right; what the guest agent does not know is the user asked for.
  [Code.Unauthenticated]: "invalid_request",
};

const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  400: "invalid_request",
  401: "invalid_request",
  403: "forbidden",
  404: "not_found",
  409: "conflict",
  507: "no_space",
};

/** Longest text of a guest's that reaches a message: the guest is not trusted. */
const maxTextLength = 500;

/** Maps a failed call to the guest agent. What the guest says is shown, cut and without control characters. */
export function fromGuestError(error: unknown): WrennError {
  if (error instanceof WrennError) return error;
  const connectError = ConnectError.from(error);
  const code = codeOfConnect[connectError.code] ?? "agent_error";
  return new WrennError(code, shown(connectError.rawMessage), { cause: error });
}

/** Maps an HTTP answer of the guest agent that is not a success. */
export function fromGuestStatus(status: number, body: string): WrennError {
  return new WrennError(
    codeOfStatus[status] ?? "agent_error",
    shown(messageOf(body) ?? `guest agent answered ${status}`),
  );
}

function messageOf(body: string): string | undefined {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value !== "object" || value === null || !("message" in value)) return undefined;
    return typeof value.message === "string" ? value.message : undefined;
  } catch {
    return undefined;
  }
}

function shown(text: string): string {
  return text.slice(0, maxTextLength).replace(/\p{Cc}/gu, " ");
}
