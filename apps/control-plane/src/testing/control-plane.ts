import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import type { Capsule } from "@wrenn/contracts/rest";
import type { InjectOptions, LightMyRequestResponse } from "fastify";
import type { Api } from "../api.ts";
import { createApiKey } from "../auth/store.ts";
import type { OwnerCredentials } from "../owner/owner-file.ts";
import { ensureOwner } from "../owner/service.ts";
import { buildServer } from "../server.ts";
import { openServices, type Services } from "../services.ts";
import { type ForeignAgent, startForeignAgent } from "./foreign-agent.ts";
import { silent, type TestDatabase, type TestPostgres } from "./postgres.ts";

/** A control plane in this process, on a database of its own. */
export interface TestControlPlane extends Services, AsyncDisposable {
  api: Api;
  agent: ForeignAgent;
  database: TestDatabase;
  teamId: string;
  apiKey: string;
  hostId: string;
  tokenFile: string;
  /** A request with the owner's key. */
  request(method: "GET" | "POST" | "DELETE", url: string, body?: object): Promise<LightMyRequestResponse>;
  /** A request as it is. */
  inject(options: InjectOptions): Promise<LightMyRequestResponse>;
  /** A capsule in the database that runs, as far as the control plane knows. */
  runningCapsule(): Promise<string>;
  /** A key of another team. */
  strangersKey(): Promise<string>;
}

export async function startTestControlPlane(postgres: TestPostgres): Promise<TestControlPlane> {
  await using stack = new AsyncDisposableStack();
  const wrennDir = await mkdtemp(join(tmpdir(), "wrenn-cp-test-"));
  stack.defer(() => rm(wrennDir, { recursive: true }));
  const database = stack.use(await postgres.newDatabase());
  const { kysely } = database;
  const ownerFile = join(wrennDir, "owner.json");
  await ensureOwner(kysely, { ownerFile, logger: silent, print: () => {} });
  const owner = JSON.parse(await readFile(ownerFile, "utf8")) as OwnerCredentials;
  const agent = stack.use(await startForeignAgent());
  const tokenFile = join(wrennDir, "host-token");
  await writeFile(tokenFile, `${agent.token}\n`);

  const services = await openServices(kysely, { wrennDir, hostAgentUrl: agent.url }, silent, stack);
  const api = await buildServer({ kysely, ...services, logger: silent });
  stack.defer(() => api.close());
  const { hosts, store } = services.reconciling;
  const hostId = hosts.pick().id;
  const held = stack.move();
  const headers = { "x-api-key": owner.api_key };

  return {
    ...services,
    api,
    agent,
    database,
    teamId: owner.team_id,
    apiKey: owner.api_key,
    hostId,
    tokenFile,
    request: (method, url, payload) => api.inject({ method, url, headers, ...(payload && { payload }) }),
    inject: (options) => api.inject(options),
    async runningCapsule() {
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
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/** The capsule as the API shows it now. */
export async function shown(controlPlane: TestControlPlane, id: string): Promise<Capsule> {
  return (await controlPlane.request("GET", `/v1/capsules/${id}`)).json<Capsule>();
}
