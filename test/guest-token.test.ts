import { expect, inject, test } from "vitest";
import { Api } from "./support/api.ts";
import "./support/provided.ts";
import { guestUrl } from "./support/machines.ts";

const api = new Api(inject("platform"));

test("the guest agent answers nothing but /health without the capsule's token", async () => {
  await using stack = new AsyncDisposableStack();
  const { id } = await api.capsule(stack);
  const url = await guestUrl(api.platform.wrennDir, id);
  expect((await fetch(`${url}/health`)).status).toBe(204);

  const requests: [string, string, string | undefined][] = [
    ["GET", "/files?path=/etc/hostname", undefined],
    ["POST", "/files?path=/root/x", "x"],
    ["POST", "/init", "{}"],
    ["POST", "/process.Process/List", "{}"],
    ["POST", "/filesystem.Filesystem/ListDir", '{"path":"/"}'],
    ["GET", "/no-such-route", undefined],
  ];
  for (const token of [undefined, "", "0".repeat(64)]) {
    for (const [method, path, body] of requests) {
      const headers = {
        "content-type": "application/json",
        ...(token === undefined ? {} : { "x-access-token": token }),
      };
      const response = await fetch(`${url}${path}`, { method, headers, ...(body ? { body } : {}) });
      expect(response.status, `${method} ${path} with ${token}`).toBe(401);
    }
  }
});
