import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { newId } from "@wrenn/contracts";
import type { HostWithToken } from "@wrenn/contracts/rest";
import { isReadyMessage } from "@wrenn/daemon";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { OwnerCredentials } from "./owner/owner-file.ts";

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "wrenn-cp-main-"));
});
afterAll(() => rm(dir, { recursive: true }));

interface Running {
  process: ChildProcess;
  stdout: Promise<string>;
  stderr: Promise<string>;
  exited: Promise<[number | null]>;
}

function run(env: NodeJS.ProcessEnv = {}): Running {
  const child = spawn(process.execPath, [join(import.meta.dirname, "main.ts")], {
    env: { PATH: process.env.PATH, WRENN_DIR: dir, WRENN_CP_LISTEN_ADDR: "127.0.0.1:0", ...env },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  const { stdout, stderr } = child;
  if (!stdout || !stderr) throw new Error("output is piped");
  return {
    process: child,
    stdout: text(stdout),
    stderr: text(stderr),
    exited: once(child, "exit") as Promise<[number | null]>,
  };
}

async function ready(running: Running): Promise<string> {
  const [message] = (await once(running.process, "message")) as [unknown];
  if (!isReadyMessage(message)) throw new Error("the first message is not that it serves");
  return message.url;
}

/** Processes that have something to do with our directory. */
async function processes(): Promise<string[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "")));
  return lines.filter((line) => line.includes(dir));
}

test("starts with nothing, leaves the owner to its file, ends without a trace, and starts again", async () => {
  const first = run();
  const url = await ready(first);
  expect((await fetch(`${url}/health`)).status).toBe(200);
  const owner = JSON.parse(await readFile(join(dir, "owner.json"), "utf8")) as OwnerCredentials;
  const headers = { "x-api-key": owner.api_key };
  expect(await (await fetch(`${url}/v1/capsules`, { headers })).json()).toEqual([]);
  first.process.kill("SIGTERM");
  expect(await first.exited).toEqual([0, null]);
  // Under a supervisor both are its log.
  expect(await first.stdout).toBe("");
  expect(await first.stderr).not.toContain(owner.api_key);
  expect(await first.stderr).not.toContain(await readFile(join(dir, "postgres", "password"), "utf8"));
  expect(await processes()).toEqual([]);

  const second = run();
  const again = await ready(second);
  expect((await fetch(`${again}/v1/capsules`, { headers })).status).toBe(200);
  second.process.disconnect(); // its supervisor has gone
  expect(await second.exited).toEqual([0, null]);
  expect(await second.stdout).toBe("");
  expect(await processes()).toEqual([]);
});

test("every line about a request names it, and the capsule or host that it is about", async () => {
  const running = run();
  const url = await ready(running);
  const owner = JSON.parse(await readFile(join(dir, "owner.json"), "utf8")) as OwnerCredentials;
  const headers = { "x-api-key": owner.api_key, "x-request-id": "trace-1" };
  const [capsule, host] = [newId("capsule"), newId("host")];
  await fetch(`${url}/v1/capsules/${capsule}`, { headers });
  await fetch(`${url}/v1/hosts/${host}`, { headers });
  const made = await fetch(`${url}/v1/hosts`, { method: "POST", headers });
  const { registration_token: token } = (await made.json()) as HostWithToken;
  running.process.kill("SIGTERM");
  await running.exited;
  const log = await running.stderr;
  const lines = log.split("\n").filter((line) => line.includes("trace-1"));
  expect(lines.map((line) => JSON.parse(line))).toEqual([
    expect.objectContaining({ reqId: "trace-1", capsule, status: 404, path: `/v1/capsules/${capsule}` }),
    expect.objectContaining({ reqId: "trace-1", host, status: 404, path: `/v1/hosts/${host}` }),
    expect.objectContaining({ reqId: "trace-1", status: 201, path: "/v1/hosts" }),
  ]);
  expect(log).not.toContain(token.split(".")[1]);
});

test("killed without a word, it leaves nothing behind that the next start minds", async () => {
  const first = run();
  await ready(first);
  first.process.kill("SIGKILL");
  await first.exited;
  const second = run();
  expect((await fetch(`${await ready(second)}/health`)).status).toBe(200);
  second.process.kill("SIGINT");
  expect(await second.exited).toEqual([0, null]);
});

test("ends with an error when its PostgreSQL ends", async () => {
  const running = run();
  await ready(running);
  const pid = Number.parseInt(await readFile(join(dir, "postgres/data/postmaster.pid"), "utf8"), 10);
  process.kill(pid, "SIGKILL");
  expect(await running.exited).toEqual([1, null]);
  expect(await running.stderr).toContain("PostgreSQL has ended");
});

test("says in one sentence what is in its way", async () => {
  await using squatter = createServer();
  await once(squatter.listen(0, "127.0.0.1"), "listening");
  const { port } = squatter.address() as { port: number };
  const taken = run({ WRENN_CP_LISTEN_ADDR: `127.0.0.1:${port}` });
  expect(await taken.exited).toEqual([1, null]);
  expect(await taken.stderr).toMatch(new RegExp(`error: 127.0.0.1:${port} is in use .*WRENN_CP_LISTEN_ADDR`));
  expect(await processes()).toEqual([]);

  const misconfigured = run({ WRENN_METRICS_TOKEN: "short" });
  expect(await misconfigured.exited).toEqual([1, null]);
  expect(await misconfigured.stderr).toBe(
    "error: configuration: WRENN_METRICS_TOKEN must have at least 16 characters\n",
  );

  await rm(join(dir, "encryption-key"));
  const keyless = run();
  expect(await keyless.exited).toEqual([1, null]);
  expect(await keyless.stderr).toContain(
    `restore ${join(dir, "encryption-key")}, or set WRENN_ENCRYPTION_KEY`,
  );
});

test("can be ended while it starts", async () => {
  const fresh = join(dir, "early");
  const running = run({ WRENN_DIR: fresh });
  while (!(await stat(join(fresh, "postgres")).catch(() => undefined))) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  running.process.kill("SIGTERM");
  expect(await running.exited).toEqual([0, null]);
  expect(await processes()).toEqual([]);
});
