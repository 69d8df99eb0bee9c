import { expect, test } from "vitest";
import { exchange, filesPath } from "./support/exchange.ts";
import { eachTarget } from "./support/targets.ts";

const origin = "https://app.example";

eachTarget((guest) => {
  test("a browser's question is answered without a token, on every route", async () => {
    for (const path of ["/files", "/process.Process/Start", "/filesystem.Filesystem/Stat", "/init"]) {
      const headers = {
        origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,connect-protocol-version,x-access-token",
      };
      const answer = await exchange(guest(), path, {
        method: "OPTIONS",
        headers,
        caller: { token: undefined },
      });
      expect(answer.status).toBe(204);
      expect(answer.headers).toMatchObject({
        "access-control-allow-origin": "*",
        "access-control-allow-methods": "GET, HEAD, POST",
        "access-control-allow-headers": headers["access-control-request-headers"],
        "access-control-max-age": "7200",
      });
    }
  });

  test("answers may be seen, errors too, and whoever is no page sees none of it", async () => {
    for (const token of [guest().token, undefined])
      for (const path of [filesPath({ path: "/etc/passwd" }), "/process.Process/List"]) {
        const headers = { origin, "content-type": "application/json" };
        const method = path.startsWith("/process") ? "POST" : "GET";
        const answer = await exchange(guest(), path, { method, headers, caller: { token }, body: "{}" });
        expect(answer.status).toBe(token ? 200 : 401);
        expect(answer.headers["access-control-allow-origin"]).toBe("*");
        expect(answer.headers["access-control-expose-headers"]).toBe("*");
        expect(answer.headers.vary).toContain("Origin");
      }
    const plain = await exchange(guest(), filesPath({ path: "/etc/passwd" }));
    expect(Object.keys(plain.headers).filter((name) => name.startsWith("access-control"))).toEqual([]);
    expect((await exchange(guest(), "/files", { method: "OPTIONS" })).status).toBe(405);
  });
});
