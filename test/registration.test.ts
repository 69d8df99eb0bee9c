import { copyFile, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Capsule, Host, HostWithToken } from "@wrenn/contracts/rest";
import { makeLogger } from "@wrenn/daemon";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "@wrenn/postgres";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Api } from "./support/api.ts";
import { type Daemon, drain, freePort, startDaemon } from "./support/daemon-process.ts";
import { leftoversOf } from "./support/leftovers.ts";
import { builtEnvd, makeWrennDir } from "./support/platform-process.ts";

/** A control plane for the whole suite, started as an operator does it: one process, http and https. */
let owned: AsyncDisposableStack;
let postgres: EmbeddedPostgres;
let cpUrl: string;
let tlsUrl: string;
let api: Api;

beforeAll(async () => {
  owned = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), "wrenn-test-"));
  owned.defer(() => rm(root, { recursive: true, force: true }));
  const logger = makeLogger("postgres", "silent");
  postgres = owned.use(await startEmbeddedPostgres({ dir: join(root, "postgres"), logger }));
  const tlsPort = await freePort();
  const controlPlane = startDaemon(owned, "wrenn-cp", [], {
    WRENN_DIR: root,
    DATABASE_URL: postgres.databaseUrl,
    WRENN_CP_LISTEN_ADDR: `127.0.0.1:${await freePort()}`,
    WRENN_CP_TLS_LISTEN_ADDR: `127.0.0.1:${tlsPort}`,
  });
  cpUrl = await controlPlane.ready;
  tlsUrl = `https://127.0.0.1:${tlsPort}`;
  const owner = JSON.parse(await readFile(join(root, "owner.json"), "utf8"));
  api = new Api({ url: cpUrl, apiKey: owner.api_key, wrennDir: root });
});
afterAll(() => owned?.disposeAsync());

interface AgentOptions {
  readonly wrennDir: string;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts an agent. With the stack it ends together with its capsules. */
function startAgent(stack: AsyncDisposableStack, { wrennDir, args = [], env = {} }: AgentOptions): Daemon {
  const environment = {
    WRENN_CP_URL: cpUrl,
    WRENN_DIR: wrennDir,
    WRENN_HOST_LISTEN_ADDR: "127.0.0.1:0",
    WRENN_HOST_METRICS_ADDR: "off",
    WRENN_ENVD_BIN: builtEnvd(),
    WRENN_VMM: "simulated",
    ...env,
  };
  return startDaemon(stack, "wrenn-agent", args, environment, drain);
}

/** Runs an agent that does not start: its exit code and all that it said. */
async function refusalOf(stack: AsyncDisposableStack, options: AgentOptions): Promise<string> {
  const env = { LOG_LEVEL: "silent", ...options.env };
  const { code, stderr } = await startAgent(stack, { ...options, env }).exited;
  expect(code, stderr).toBe(1);
  expect(stderr.trim().split("\n"), stderr).toHaveLength(1);
  return stderr.trim();
}

async function createHost(): Promise<{ id: string; token: string }> {
  const response = await api.call("POST", "/v1/hosts", { type: "regular" });
  expect(response.status).toBe(201);
  const { host, registration_token } = (await response.json()) as HostWithToken;
  return { id: host.id, token: registration_token };
}

async function newToken(id: string): Promise<string> {
  const response = await api.call("POST", `/v1/hosts/${id}/token`);
  return ((await response.json()) as HostWithToken).registration_token;
}

async function hostOf(id: string): Promise<Host> {
  return (await (await api.call("GET", `/v1/hosts/${id}`)).json()) as Host;
}

async function capsuleOf(id: string): Promise<Capsule> {
  return (await (await api.call("GET", `/v1/capsules/${id}`)).json()) as Capsule;
}

test("the walk-through: create a host, register its agent, restart it, register it again", async () => {
  await using stack = new AsyncDisposableStack();
  const wrennDir = await makeWrennDir(stack);
  const address = `127.0.0.1:${await freePort()}`;
  const env = { WRENN_HOST_LISTEN_ADDR: `:${address.split(":")[1]}`, WRENN_VMM: "qemu-tcg" };

  // 1. Create a host record, with a key as a bearer token.
  const created = await fetch(`${cpUrl}/v1/hosts`, {
    method: "POST",
    headers: { authorization: `Bearer ${api.platform.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify({ type: "regular" }),
  });
  expect(created.status).toBe(201);
  const { host, registration_token: token } = (await created.json()) as HostWithToken;
  expect(host).toMatchObject({ type: "regular", status: "pending" });

  // 2. Start the agent with the token and the address at which it is reached.
  const first = startAgent(stack, { wrennDir, args: ["--register", token, "--address", address], env });
  await first.ready;
  expect(await hostOf(host.id)).toMatchObject({
    status: "online",
    address,
    arch: process.arch,
    cpu_cores: expect.any(Number),
    memory_mb: expect.any(Number),
    disk_gb: expect.any(Number),
    last_heartbeat_at: expect.any(String),
  });
  expect((await hostOf(host.id)).reason).toBeUndefined();
  for (const name of ["host-token", "host-key.pem"]) {
    expect((await stat(join(wrennDir, name))).mode & 0o777, name).toBe(0o600);
  }
  const { id } = (await (await api.call("POST", "/v1/capsules", {})).json()) as Capsule;
  expect((await api.shell(id, "id -u")).stdout).toBe("0\n");

  // 3. Later starts need no token: the agent has its credentials, and the capsule is still there.
  first.child.kill("SIGTERM");
  expect((await first.exited).code).toBe(0);
  const second = startAgent(stack, { wrennDir, args: ["--address", address], env });
  await second.ready;
  expect(await capsuleOf(id)).toMatchObject({ status: "running" });
  expect((await api.shell(id, "echo again")).stdout).toBe("again\n");

  // 4. A new token, and the agent is started with it: another certificate and host token, the same host.
  second.child.kill("SIGTERM");
  await second.exited;
  const before = await readFile(join(wrennDir, "host-token"), "utf8");
  const again = await newToken(host.id);
  const third = startAgent(stack, { wrennDir, args: ["--register", again, "--address", address], env });
  await third.ready;
  expect(await readFile(join(wrennDir, "host-token"), "utf8")).not.toBe(before);
  expect(await hostOf(host.id)).toMatchObject({ status: "online", address });
  expect((await api.shell(id, "echo third")).stdout).toBe("third\n");

  // A host that is given up ends its capsules, and the control plane knows.
  drain(third.child);
  expect((await third.exited).code).toBe(0);
  expect(await capsuleOf(id)).toMatchObject({ status: "stopped", reason: "host_drained" });
  const left = await leftoversOf(wrennDir);
  expect(left.filter((name) => !name.startsWith("layers/"))).toEqual([]);
});

test("over https a host pins the authority that its token names, and proves itself with its certificate", async () => {
  await using stack = new AsyncDisposableStack();
  const wrennDir = await makeWrennDir(stack);
  const { id, token } = await createHost();
  const agent = startAgent(stack, {
    wrennDir,
    env: { WRENN_CP_URL: tlsUrl, WRENN_REGISTRATION_TOKEN: token },
  });
  await agent.ready;
  expect(await hostOf(id)).toMatchObject({ status: "online" });
});

describe("an agent that cannot be this platform's says why in one sentence, and ends", () => {
  test("without a token and without a registration", async () => {
    await using stack = new AsyncDisposableStack();
    const sentence = await refusalOf(stack, { wrennDir: await makeWrennDir(stack) });
    expect(sentence).toMatch(/^error: this host is not registered; make a token with POST \/v1\/hosts/);
  });

  test("with a malformed token, which it does not repeat", async () => {
    await using stack = new AsyncDisposableStack();
    const args = ["--register", "wrr_secret"];
    const sentence = await refusalOf(stack, { wrennDir: await makeWrennDir(stack), args });
    expect(sentence).toMatch(/^error: the registration token is malformed/);
    expect(sentence).not.toContain("wrr_secret");
  });

  test("with a token that another agent has used", async () => {
    await using stack = new AsyncDisposableStack();
    const { token } = await createHost();
    const args = ["--register", token];
    await startAgent(stack, { wrennDir: await makeWrennDir(stack), args }).ready;
    const wrennDir = await makeWrennDir(stack);
    expect(await refusalOf(stack, { wrennDir, args })).toMatch(/^error: .*used/);
    expect(await readdir(wrennDir)).not.toContain("host-token");
  });

  test("with a token that is an hour old", async () => {
    await using stack = new AsyncDisposableStack();
    const { id, token } = await createHost();
    const client = new pg.Client({ connectionString: postgres.databaseUrl });
    await client.connect();
    await client.query("UPDATE registration_tokens SET expires_at = now() WHERE host_id = $1", [id]);
    await client.end();
    const sentence = await refusalOf(stack, {
      wrennDir: await makeWrennDir(stack),
      args: ["--register", token],
    });
    expect(sentence).toMatch(/^error: .*expired/);
    expect(await hostOf(id)).toMatchObject({ status: "pending" });
  });

  test("with a token that a newer one replaced, or that was guessed", async () => {
    await using stack = new AsyncDisposableStack();
    const { id, token } = await createHost();
    await newToken(id);
    const guessed = token.replace(/\.[^.]+\./, `.${"A".repeat(43)}.`);
    for (const wrong of [token, guessed]) {
      const wrennDir = await makeWrennDir(stack);
      expect(await refusalOf(stack, { wrennDir, args: ["--register", wrong] })).toMatch(/^error: .*token/);
    }
    expect(await hostOf(id)).toMatchObject({ status: "pending" });
  });

  test("at a control plane of another authority, which does not get the token", async () => {
    await using stack = new AsyncDisposableStack();
    const { id, token } = await createHost();
    const wrong = token.replace(/[0-9a-f]{64}$/, "0".repeat(64));
    const wrennDir = await makeWrennDir(stack);
    const env = { WRENN_CP_URL: tlsUrl };
    expect(await refusalOf(stack, { wrennDir, args: ["--register", wrong], env })).toMatch(
      /^error: .*another certificate authority than the registration token names/,
    );
    // The token itself is still good.
    await startAgent(stack, { wrennDir, args: ["--register", token], env }).ready;
    expect(await hostOf(id)).toMatchObject({ status: "online" });
  });

  test("over plain http from another machine", async () => {
    await using stack = new AsyncDisposableStack();
    const env = { WRENN_CP_URL: "http://192.0.2.1:8000" };
    const sentence = await refusalOf(stack, { wrennDir: await makeWrennDir(stack), env });
    expect(sentence).toMatch(/WRENN_CP_URL must be https unless the control plane is on this machine/);
  });

  test("beside another agent on the same directory", async () => {
    await using stack = new AsyncDisposableStack();
    const wrennDir = await makeWrennDir(stack);
    const { token } = await createHost();
    await startAgent(stack, { wrennDir, args: ["--register", token] }).ready;
    expect(await refusalOf(stack, { wrennDir })).toMatch(/^error: another process uses /);
  });
});

test("credentials of two hosts that are mixed are not taken, and the agent says what to do and runs on", async () => {
  await using stack = new AsyncDisposableStack();
  const dirs = [await makeWrennDir(stack), await makeWrennDir(stack)] as const;
  const hosts = [await createHost(), await createHost()] as const;
  for (const [index, wrennDir] of dirs.entries()) {
    const agent = startAgent(stack, { wrennDir, args: ["--register", hosts[index]?.token ?? ""] });
    await agent.ready;
    agent.child.kill("SIGTERM");
    await agent.exited;
  }
  for (const name of ["host-certificate.pem", "host-key.pem"]) {
    await copyFile(join(dirs[0], name), join(dirs[1], name));
  }

  const mixed = startAgent(stack, { wrennDir: dirs[1], env: { WRENN_CP_URL: tlsUrl } });
  await mixed.logged(
    /report not taken: .*certificate.*make a token with POST \/v1\/hosts\/hs\w+\/token and start this agent with --register/,
  );
  expect(mixed.child.exitCode).toBeNull();

  // The cure that it names.
  mixed.child.kill("SIGTERM");
  await mixed.exited;
  const args = ["--register", await newToken(hosts[1].id)];
  await startAgent(stack, { wrennDir: dirs[1], args, env: { WRENN_CP_URL: tlsUrl } }).ready;
  expect((await hostOf(hosts[1].id)).reason).toBeUndefined();
});

test("a host whose address answers as another host gets no capsules, and the operator sees why", async () => {
  await using stack = new AsyncDisposableStack();
  const [honest, lost] = [await createHost(), await createHost()];
  const one = startAgent(stack, {
    wrennDir: await makeWrennDir(stack),
    args: ["--register", honest.token],
  });
  const address = new URL(await one.ready).host;
  const other = startAgent(stack, {
    wrennDir: await makeWrennDir(stack),
    args: ["--register", lost.token, "--address", address],
  });
  await other.logged(/the control plane does not use this host: .*another host/);
  expect(await hostOf(lost.id)).toMatchObject({ reason: expect.stringContaining("another host") });
  expect((await hostOf(honest.id)).reason).toBeUndefined();
});
