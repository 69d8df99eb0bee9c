import { newId } from "@wrenn/contracts";
import type { Capsule, ErrorBody, Template } from "@wrenn/contracts/rest";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Deployment } from "../support/deployment.ts";
import { disagreements, heldOnHost, startIdle } from "../support/host-state.ts";

const poll = { timeout: 60_000, interval: 200 };

const stack = new AsyncDisposableStack();
let deployment: Deployment;
let idle: readonly string[];

beforeAll(async () => {
  ({ deployment, idle } = await startIdle(stack));
});
afterAll(() => stack.disposeAsync());

interface Keyed {
  path: string;
  body: object;
  key: string;
}

/** The answer to a request; undefined while there is none. */
async function send<T>({ path, body, key }: Keyed): Promise<T | undefined> {
  const headers = { "idempotency-key": key };
  const response = await deployment.api.call("POST", path, body, headers).catch(() => undefined);
  if (response?.status === 201) return (await response.json()) as T;
  if (response?.status === 409) {
    expect(((await response.json()) as ErrorBody).error.code).toBe("request_in_progress");
  }
  return undefined;
}

async function listed(): Promise<Capsule[]> {
  return (await (await deployment.api.call("GET", "/v1/capsules")).json()) as Capsule[];
}

test("whatever a control plane had under way when it was killed, the same request finds it, and makes nothing twice", async () => {
  await using capsules = new AsyncDisposableStack();
  const source = await deployment.api.capsule(capsules);
  const creates = Array.from({ length: 4 }, (): Keyed => {
    return { path: "/v1/capsules", body: { metadata: { test: "keys" } }, key: newId("request") };
  });
  const name = `test-${newId("snapshot")}`;
  const snapshot = { path: "/v1/snapshots", body: { sandbox_id: source.id, name }, key: newId("request") };
  const sent = [...creates, snapshot].map((request) => send(request));
  // Some are made by then, some not.
  await Promise.race(sent);
  await deployment.killControlPlane();
  await deployment.startControlPlane();
  await Promise.all(sent);

  const ids: string[] = [];
  for (const create of creates) {
    await expect.poll(() => send<Capsule>(create), poll).toBeDefined();
    const capsule = await send<Capsule>(create);
    expect((await send<Capsule>(create))?.id).toBe(capsule?.id);
    ids.push(capsule?.id ?? "");
  }
  const made = (await listed()).filter(({ metadata }) => metadata.test === "keys");
  expect(
    made
      .filter(({ state }) => state === "running")
      .map(({ id }) => id)
      .sort(),
  ).toEqual(ids.sort());
  await expect.poll(() => send<Template>(snapshot), poll).toMatchObject({ name });
  const templates = await deployment.api.call("GET", "/v1/snapshots?type=snapshot");
  expect(await templates.json()).toMatchObject([{ name }]);
  expect(await disagreements(deployment, ids)).toEqual([]);

  expect((await deployment.api.call("DELETE", `/v1/snapshots/${name}`)).status).toBe(204);
  for (const { id } of made) await deployment.api.call("DELETE", `/v1/capsules/${id}`);
  await deployment.api.call("DELETE", `/v1/capsules/${source.id}`);
  await expect.poll(() => heldOnHost(deployment), poll).toEqual(idle);
});
