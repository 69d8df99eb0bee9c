import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { fromConnectError, toConnectError } from "./connect-error.ts";
import { type ErrorCode, errorCatalogue, WrennError } from "./errors.ts";

const noFallback = (): never => {
  throw new Error("the detail was not found");
};

test("every code of the catalogue survives the wire with its message and field", () => {
  for (const code of Object.keys(errorCatalogue) as ErrorCode[]) {
    const restored = fromConnectError(
      toConnectError(new WrennError(code, "why", { field: "size" })),
      noFallback,
    );
    expect(restored).toMatchObject({ code, message: "why", field: "size" });
  }
});

test("an error outside the catalogue leaves the process as internal_error without its text", () => {
  const mapped = toConnectError(new Error("secret detail"));
  expect(mapped.code).toBe(Code.Internal);
  expect(mapped.rawMessage).not.toContain("secret");
});

test("a foreign error goes through the caller's fallback", () => {
  const restored = fromConnectError(
    new ConnectError("refused", Code.Unavailable),
    (error) => new WrennError("host_unavailable", error.rawMessage),
  );
  expect(restored.code).toBe("host_unavailable");
});
