import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { guardPing } from "./guarded-sessions.ts";

test("a ping of a session that has just ended fails in its callback, and throws nothing", async () => {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    await once(session, "connect");
    guardPing(session);
    const answered = await new Promise<Error | null>((resolve) => session.ping(resolve));
    expect(answered).toBeNull();
    session.destroy(); // its `close` is still to come
    const outcome = new Promise<Error | null>((resolve) => session.ping(resolve));
    expect(await outcome).toBeInstanceOf(Error);
  } finally {
    session.destroy();
    server.close();
  }
});
