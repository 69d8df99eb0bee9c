import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { type ErrorCode, errorCatalogue, isErrorCode, WrennError } from "./errors.ts";
import { ErrorDetailSchema } from "./gen/wrenn/host/v1/error_pb.ts";

const connectCodeOfStatus: Readonly<Record<number, Code>> = {
  400: Code.InvalidArgument,
  401: Code.Unauthenticated,
  403: Code.PermissionDenied,
  404: Code.NotFound,
  409: Code.FailedPrecondition,
  413: Code.ResourceExhausted,
  415: Code.InvalidArgument,
  422: Code.InvalidArgument,
  500: Code.Internal,
  502: Code.Unknown,
  503: Code.Unavailable,
  504: Code.DeadlineExceeded,
  507: Code.ResourceExhausted,
};

/** Maps an error of the catalogue to the Connect protocol; the catalogue's code travels as an error detail. */
export function toConnectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) return error;
  const known = error instanceof WrennError ? error : new WrennError("internal_error", "internal error");
  const connectError = new ConnectError(
    known.message,
    connectCodeOfStatus[errorCatalogue[known.code].status] ?? Code.Internal,
    undefined,
    undefined,
    error,
  );
  connectError.details.push({
    desc: ErrorDetailSchema,
    value: create(ErrorDetailSchema, { code: known.code, field: known.field ?? "" }),
  });
  return connectError;
}

/**
 * Restores the error that the other side mapped with {@link toConnectError}.
 *
 * @param fallback code for an error that carries no detail: the connection failed, or a foreign server answered.
 */
export function fromConnectError(error: unknown, fallback: (error: ConnectError) => WrennError): WrennError {
  if (error instanceof WrennError) return error;
  const connectError = ConnectError.from(error);
  const detail = connectError.findDetails(ErrorDetailSchema)[0];
  if (!detail || !isErrorCode(detail.code)) return fallback(connectError);
  const code: ErrorCode = detail.code;
  return new WrennError(code, connectError.rawMessage, {
    field: detail.field || undefined,
    cause: connectError,
  });
}
