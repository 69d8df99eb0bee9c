import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import type { Capsule } from "@wrenn/contracts/rest";
import type { InjectOptions, LightMyRequestResponse } from "fastify";
import type { Api } from "../api.ts";
import { createApiKey } from "../auth/store.ts";
import { connectDatabase } from "../database/connect.ts";
import type { OwnerCredentials } from "../owner/owner-file.ts";
import { ensureOwner } from "../owner/service.ts";
import { buildServer } from "../server.ts";
import { openServices, type Services } from "../services.ts";
import { type ForeignAgent, startForeignAgent } from "./foreign-agent.ts";
import { registerTestHost, type TestHost } from "./host.ts";
import { silent, type TestDatabase, type TestPostgres } from "./postgres.ts";

/** One of the control planes on a database. */
export interface TestReplica extends Services, AsyncDisposable {
  api: Api;
  /** A request as it is. */
  inject(options: InjectOptions): Promise<LightMyRequestResponse>;
}

/** A control plane in this process, on a database of its own, with one host. */
export interface TestControlPlane extends TestReplica {
  database: TestDatabase;
  teamId: string;
  apiKey: string;
  agent: ForeignAgent;
  host: TestHost;
  hostId: string;
  /** A request with the owner's key. */
  request(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    url: string,
    body?: object,
  ): Promise<LightMyRequestResponse>;
  /** A capsule in the database that runs, as far as the control plane knows. */
  runningCapsule(hostId?: string): Promise<string>;
  /** A key of another team. */
  strangersKey(): Promise<string>;
  /** Another agent, registered as another host. */
  newHost(): Promise<TestHost>;
  /** Another control plane on the same database. */
  newReplica(): Promise<TestReplica>;
}

/** What tests configure beside the database. */
export interface TestOptions {
  metricsToken?: string;
}

export async function startTestControlPlane(
  postgres: TestPostgres,
  options: TestOptions = {},
): Promise<TestControlPlane> {
  await using starting = new AsyncDisposableStack();
  const stack = starting.use(new AsyncDisposableStack());
  const wrennDir = await mkdtemp(join(tmpdir(), "wrenn-cp-test-"));
  stack.defer(() => rm(wrennDir, { recursive: true }));
  const database = stack.use(await postgres.newDatabase());
  const { kysely } = database;
  const ownerFile = join(wrennDir, "owner.json");
  await ensureOwner(kysely, { ownerFile, logger: silent, print: () => {} });
  const owner = JSON.parse(await readFile(ownerFile, "utf8")) as OwnerCredentials;
  const replica = stack.use(await startReplica(database.url, wrennDir, options));
  const { api, inject } = replica;
  const { store } = replica.settling;
  const newHost = async (): Promise<TestHost> => {
    const agent = stack.use(await startForeignAgent());
    return registerTestHost(inject, owner.api_key, agent);
  };
  const host = await newHost();
  starting.move(); // what `stack` holds, it holds until the control plane is disposed of
  const headers = { "x-api-key": owner.api_key };

  return {
    ...replica,
    database,
    teamId: owner.team_id,
    apiKey: owner.api_key,
    agent: host.agent,
    host,
    hostId: host.id,
    newHost,
    request: (method, url, payload) => api.inject({ method, url, headers, ...(payload && { payload }) }),
    async newReplica() {
      return stack.use(await startReplica(database.url, wrennDir, options));
    },
    async runningCapsule(hostId = host.id) {
      const id = newId("capsule");
      const size = { vcpus: 1, memoryMib: 512 };
      const pending = await store.insert({
        id,
        teamId: owner.team_id,
        template: "minimal",
        timeoutSec: 0,
        ...size,
      });
      await store.move(pending, "starting", { hostId });
      await store.move(pending, "running", { startedAt: new Date() });
      return id;
    },
    async strangersKey() {
      const teamId = newId("team");
      const createdBy = newId("user");
      await kysely
        .insertInto("users")
        .values({ id: createdBy, email: createdBy, password_hash: "" })
        .execute();
      await kysely.insertInto("teams").values({ id: teamId, name: "strangers" }).execute();
      return createApiKey(kysely, { teamId, createdBy, name: "key" });
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function startReplica(url: string, wrennDir: string, options: TestOptions): Promise<TestReplica> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(connectDatabase(url, silent));
  const config = {
    encryptionKey: { key: undefined, file: join(wrennDir, "encryption-key") },
    tlsListenAddress: { host: "127.0.0.1", port: 0 },
    tlsNames: [],
  };
  const services = await openServices(database, config, silent, stack);
  const parts = { kysely: database.kysely, ...services, ...options, logger: silent };
  const api = await buildServer(parts);
  stack.defer(() => api.close());
  const held = stack.move();
  return {
    ...services,
    api,
    inject: (request) => api.inject(request),
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** The capsule as the API shows it now. */
export async function shown(controlPlane: TestControlPlane, id: string): Promise<Capsule> {
  return (await controlPlane.request("GET", `/v1/capsules/${id}`)).json<Capsule>();
}
