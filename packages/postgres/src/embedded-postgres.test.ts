import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { makeLogger } from "@wrenn/daemon";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "./embedded-postgres.ts";

const logger = makeLogger("postgres-test", "silent");
let parent: string;

beforeAll(async () => {
  // mkdtemp makes it 0700: whoever PostgreSQL runs as has to be able to enter it.
  parent = await mkdtemp(join(tmpdir(), "wrenn-postgres-"));
});
afterAll(() => rm(parent, { recursive: true }));

const start = (dir: string, signal?: AbortSignal) => startEmbeddedPostgres({ dir, logger, signal });

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

/** PostgreSQL processes whose command line or working directory is below the directory. */
async function processesBelow(dir: string): Promise<string[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "")));
  return lines.filter((line) => line.includes(dir) && line.includes("postgres"));
}

async function crash(server: EmbeddedPostgres): Promise<void> {
  process.kill(server.pid, "SIGKILL");
  expect(await server.exited).toEqual({ code: null, signal: "SIGKILL" });
  await server.stop();
}

describe("a cluster's life", () => {
  const dir = () => join(parent, "life");
  let firstUrl: string;

  test("the first start makes a database of our own role, and keeps the password to itself", async () => {
    await using server = await start(dir());
    firstUrl = server.databaseUrl;
    const [row] = await query(
      server.databaseUrl,
      `select current_user as role, current_database() as db, rolsuper as super,
         current_setting('server_version_num')::int / 10000 as version,
         current_setting('server_encoding') as encoding, current_setting('password_encryption') as hash
       from pg_roles where rolname = current_user`,
    );
    const expected = { role: "wrenn", db: "wrenn", super: false, version: 18, encoding: "UTF8" };
    expect(row).toEqual({ ...expected, hash: "scram-sha-256" });
    for (const file of ["password", "port"]) {
      expect((await stat(join(dir(), file))).mode & 0o777).toBe(0o600);
    }
    const commandLines = await processesBelow(dir());
    expect(commandLines.join()).not.toContain(new URL(server.databaseUrl).password);
    await query(server.databaseUrl, "create table kept (n int); insert into kept values (7)");
  });

  test("stopping leaves no process, and the data for the next start on the same port", async () => {
    expect(await processesBelow(dir())).toEqual([]);
    await using server = await start(dir());
    expect(server.databaseUrl).toBe(firstUrl);
    expect(await query(server.databaseUrl, "select n from kept")).toEqual([{ n: 7 }]);
  });

  test("survives kill -9 of the server", async () => {
    await crash(await start(dir()));
    await using server = await start(dir());
    expect(await query(server.databaseUrl, "select n from kept")).toEqual([{ n: 7 }]);
  });

  test("a lock file that names a living stranger does not block", async () => {
    await writeFile(join(dir(), "data", "postmaster.pid"), `${process.pid}\n${dir()}\n`);
    await using server = await start(dir());
    expect(await query(server.databaseUrl, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("ends the server that a killed supervisor left", async () => {
    const script = join(import.meta.dirname, "testing", "supervisor.ts");
    const supervisor = spawn(process.execPath, [script, dir()], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(createInterface({ input: supervisor.stdout }), "line")) as [string];
    supervisor.kill("SIGKILL");
    await once(supervisor, "close");

    await using server = await start(dir());
    expect(server.pid).not.toBe(Number(line));
    expect(await query(server.databaseUrl, "select n from kept")).toEqual([{ n: 7 }]);
  });

  test("takes another port when its own is taken", async () => {
    const port = Number(await readFile(join(dir(), "port"), "utf8"));
    await using squatter = createServer();
    await once(squatter.listen(port, "127.0.0.1"), "listening");
    await using server = await start(dir());
    expect(new URL(server.databaseUrl).port).not.toBe(String(port));
    expect(await query(server.databaseUrl, "select n from kept")).toEqual([{ n: 7 }]);
  });

  test("refuses a wrong password, and a second owner", async () => {
    await using server = await start(dir());
    const wrong = new URL(server.databaseUrl);
    wrong.password = "wrong";
    await expect(query(wrong.href, "select 1")).rejects.toMatchObject({ code: "28P01" });
    await expect(start(dir())).rejects.toMatchObject({ code: "conflict" });
  });
});

test("an interrupted first start leaves nothing half-made", async () => {
  const dir = join(parent, "interrupted");
  const controller = new AbortController();
  const starting = start(dir, controller.signal);
  while (!(await readdir(dir).catch(() => [])).some((name) => name.startsWith("data.new-"))) {
    await new Promise(setImmediate);
  }
  controller.abort();
  await expect(starting).rejects.toThrow();
  expect(await readdir(dir)).not.toContain("data");

  await mkdir(join(dir, "data.new-of-a-crash"));
  await using server = await start(dir);
  expect(await query(server.databaseUrl, "select 1 as one")).toEqual([{ one: 1 }]);
  expect((await readdir(dir)).filter((name) => name.startsWith("data."))).toEqual([]);
});

test("a directory that is not a cluster is not touched", async () => {
  const dir = join(parent, "foreign");
  await mkdir(join(dir, "data"), { recursive: true });
  await writeFile(join(dir, "data", "letter"), "dear");
  await expect(start(dir)).rejects.toMatchObject({ code: "config_invalid" });
  expect(await readFile(join(dir, "data", "letter"), "utf8")).toBe("dear");
});

test("a server that cannot start says why in its error", async () => {
  const dir = join(parent, "broken");
  await (await start(dir)).stop();
  await rm(join(dir, "data", "global", "pg_control"));
  const failure = await start(dir).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: "internal_error", message: expect.stringContaining("pg_control") });
  expect(await processesBelow(dir)).toEqual([]);
});
