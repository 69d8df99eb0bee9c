import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedPostgres } from "@wrenn/postgres";
import { expect, test } from "vitest";
import { connectDatabase } from "../database/connect.ts";
import { migrate, readMigrations } from "../database/migrate.ts";
import { ensureOwner } from "../owner/service.ts";
import { buildServer } from "../server.ts";
import { openServices } from "../services.ts";
import { silent } from "../testing/postgres.ts";

test("without its database it says so, and recovers by itself", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-health-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const startPostgres = () => startEmbeddedPostgres({ dir: join(dir, "postgres"), logger: silent });

  const before = await startPostgres();
  stack.use(before);
  const database = stack.use(connectDatabase(before.databaseUrl, silent));
  const { kysely, pool } = database;
  await migrate(pool, await readMigrations(), silent);
  let key = "";
  const print = (text: string): void => {
    key = /wrn_[0-9a-f]+/.exec(text)?.[0] ?? "";
  };
  await ensureOwner(kysely, { ownerFile: join(dir, "owner.json"), logger: silent, print });
  const encryptionKey = { key: undefined, file: join(dir, "encryption-key") };
  const config = { encryptionKey, tlsListenAddress: undefined, tlsNames: [] };
  const services = await openServices(database, config, silent, stack);
  const api = await buildServer({ kysely, ...services, logger: silent });
  stack.defer(() => api.close());
  const ask = (url: string) => api.inject({ url, headers: { "x-api-key": key } });

  for (const url of ["/health", "/ready"]) {
    expect((await ask(url)).json()).toMatchObject({ status: "ok" });
  }
  expect((await ask("/v1/capsules")).statusCode).toBe(200);

  await before.stop();
  for (const url of ["/health", "/ready"]) {
    expect(await ask(url)).toMatchObject({ statusCode: 503, body: expect.stringContaining("unavailable") });
  }
  const measured = await ask("/metrics");
  expect(measured.body).toMatch(/wrenn_http_requests_total\{.*status="503"\} \d/);
  expect(measured.body).not.toMatch(/^wrenn_hosts\{/m);
  const refused = await ask("/v1/capsules");
  expect(refused.statusCode).toBe(503);
  expect(refused.json()).toMatchObject({ error: { code: "database_unavailable" } });

  const after = stack.use(await startPostgres());
  expect(after.databaseUrl).toBe(before.databaseUrl);
  expect((await ask("/ready")).statusCode).toBe(200);
  expect((await ask("/v1/capsules")).statusCode).toBe(200);
});
