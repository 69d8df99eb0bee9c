import { type Static, Type } from "typebox";
import { type ErrorCode, errorCatalogue } from "../errors.ts";

const codes = Object.keys(errorCatalogue) as ErrorCode[];

/** Body of every answer that is not a success. */
export const ErrorBody = Type.Object(
  {
    error: Type.Object({
      code: Type.Enum(codes, { description: "Stable, machine-readable reason." }),
      message: Type.String({ description: "What is wrong and what to do, for a person." }),
      field: Type.Optional(Type.String({ description: "The request field that is wrong." })),
      request_id: Type.Optional(Type.String({ description: "Names this request in the logs." })),
    }),
  },
  { $id: "Error", title: "Error" },
);

export type ErrorBody = Static<typeof ErrorBody>;
