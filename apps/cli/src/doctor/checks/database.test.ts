import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeLogger } from "@wrenn/daemon";
import { startEmbeddedPostgres } from "@wrenn/postgres";
import { expect, test } from "vitest";
import { contextOf } from "../testing/context.ts";
import { checkDatabase } from "./database.ts";

test("without DATABASE_URL it is the PostgreSQL of npm", async () => {
  expect(await checkDatabase(contextOf())).toMatchObject({
    status: "ok",
    detail: expect.stringMatching(/^PostgreSQL \d+\.\d+, our own$/),
  });
});

test("with DATABASE_URL it is that one, when it answers", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-database-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const postgres = stack.use(await startEmbeddedPostgres({ dir, logger: makeLogger("test", "silent") }));
  expect(await checkDatabase(contextOf({ databaseUrl: postgres.databaseUrl }))).toMatchObject({
    status: "ok",
    detail: expect.stringContaining("at DATABASE_URL"),
  });

  const wrong = new URL(postgres.databaseUrl);
  wrong.password = "guessed-secret";
  const refused = await checkDatabase(contextOf({ databaseUrl: wrong.href }));
  expect(refused).toMatchObject({ status: "failing", cure: expect.stringContaining("DATABASE_URL") });
  expect(JSON.stringify(refused)).not.toContain("guessed-secret");
});

test("nobody there, and somebody who is no PostgreSQL, fail without the URL's secrets", async () => {
  await using stack = new AsyncDisposableStack();
  const server = createServer((socket) => socket.resume().end("HTTP/1.1 400\r\n\r\n")).listen(0, "127.0.0.1");
  stack.defer(() => new Promise((closed) => server.close(() => closed())));
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  for (const place of [`127.0.0.1:${port}`, "127.0.0.1:1", "not a host"]) {
    const finding = await checkDatabase(contextOf({ databaseUrl: `postgres://u:s3cret@${place}/wrenn` }));
    expect(finding.status, place).toBe("failing");
    expect(JSON.stringify(finding)).not.toContain("s3cret");
  }
});
