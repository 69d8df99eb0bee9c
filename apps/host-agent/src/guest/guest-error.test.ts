import { Code, ConnectError } from "@connectrpc/connect";
import { WrennError } from "@wrenn/contracts";
import { expect, test } from "vitest";
import { fromGuestError, fromGuestStatus } from "./guest-error.ts";

test("what a guest refuses is the caller's to mend; what it breaks is not", () => {
  expect(fromGuestError(new ConnectError("no", Code.NotFound)).code).toBe("not_found");
  expect(fromGuestError(new ConnectError("no", Code.Internal)).code).toBe("agent_error");
  expect(fromGuestError(new Error("socket hang up")).code).toBe("agent_error");
  expect(fromGuestStatus(507, '{"message":"full"}')).toMatchObject({ code: "no_space", message: "full" });
});

test("an error of ours passes as it is", () => {
  const error = new WrennError("invalid_state", "paused");
  expect(fromGuestError(error)).toBe(error);
});

test("what a hostile guest says is cut, and moves no terminal", () => {
  const { message } = fromGuestError(new ConnectError(`\u001b[2J\n${"x".repeat(10_000)}`, Code.NotFound));
  expect(message.length).toBeLessThanOrEqual(500);
  expect(message).not.toMatch(/\p{Cc}/u);
  for (const body of ["", "<html>", "[]", "null", '{"message":7}']) {
    expect(fromGuestStatus(418, body)).toMatchObject({
      code: "agent_error",
      message: "guest agent answered 418",
    });
  }
});
