import { newId } from "@wrenn/contracts";
import type { Capsule, ErrorBody, Template } from "@wrenn/contracts/rest";
import { describe, expect, inject, test } from "vitest";
import { Api } from "./support/api.ts";
import "./support/provided.ts";

const api = new Api(inject("platform"));

/** A name that no other test has. */
const newName = () => `test-${newId("snapshot")}`;

/** Takes a snapshot, which is deleted with the stack. */
async function take(stack: AsyncDisposableStack, capsule: string, name = newName()): Promise<Template> {
  const response = await api.call("POST", "/v1/snapshots", { sandbox_id: capsule, name });
  expect(response.status, await response.clone().text()).toBe(201);
  stack.defer(async () => {
    await api.call("DELETE", `/v1/snapshots/${name}?force=true`);
  });
  return (await response.json()) as Template;
}

/** Memory that is lost with the machine, and a file that is not. */
const write = (text: string) => `echo ${text} >/dev/shm/x; echo ${text} >/root/x; sync`;
const readBoth = "cat /dev/shm/x /root/x";

describe("a snapshot", () => {
  test("of a running capsule is what capsules are created from, while that goes on", async () => {
    await using stack = new AsyncDisposableStack();
    const source = await api.capsule(stack);
    await api.shell(source.id, write("before"));
    const snapshot = await take(stack, source.id);
    expect(snapshot).toMatchObject({ type: "snapshot", vcpus: 1, memory_mb: 512, platform: false });
    expect(snapshot.size_bytes).toBeGreaterThan(0);
    await api.shell(source.id, write("after"));

    const copies = [
      await api.capsule(stack, { template: snapshot.name }),
      await api.capsule(stack, { template: snapshot.name }),
    ];
    for (const { id, template } of copies) {
      expect(template).toBe(snapshot.name);
      expect((await api.shell(id, readBoth)).stdout).toBe("before\nbefore\n");
    }
    expect((await api.shell(source.id, readBoth)).stdout).toBe("after\nafter\n");
    const names = await Promise.all(copies.map(({ id }) => api.shell(id, "hostname")));
    expect(new Set(names.map(({ stdout }) => stdout)).size).toBe(2);
  });

  test("of a paused capsule leaves it paused", async () => {
    await using stack = new AsyncDisposableStack();
    const source = await api.capsule(stack);
    await api.shell(source.id, write("paused"));
    await api.call("POST", `/v1/capsules/${source.id}/pause`);
    const { name } = await take(stack, source.id);
    const shown = (await (await api.call("GET", `/v1/capsules/${source.id}`)).json()) as Capsule;
    expect(shown.state).toBe("paused");
    const copy = await api.capsule(stack, { template: name });
    expect((await api.shell(copy.id, readBoth)).stdout).toBe("paused\npaused\n");
  });

  test("breaks no capsule when it is replaced or deleted, nor when its capsule is gone", async () => {
    await using stack = new AsyncDisposableStack();
    const source = await api.capsule(stack);
    await api.shell(source.id, write("first"));
    const { name } = await take(stack, source.id);
    const first = await api.capsule(stack, { template: name });
    await api.shell(source.id, write("second"));
    const body = { sandbox_id: source.id, name };
    const taken = await api.call("POST", "/v1/snapshots", body);
    expect(((await taken.json()) as ErrorBody).error.code).toBe("name_taken");
    expect((await api.call("POST", "/v1/snapshots?overwrite=true", body)).status).toBe(201);
    await api.call("DELETE", `/v1/capsules/${source.id}`);
    const second = await api.capsule(stack, { template: name });

    const refused = await api.call("DELETE", `/v1/snapshots/${name}`);
    expect(((await refused.json()) as ErrorBody).error.code).toBe("template_in_use");
    expect((await api.call("DELETE", `/v1/snapshots/${name}?force=true`)).status).toBe(204);
    expect((await api.call("POST", "/v1/capsules", { template: name })).status).toBe(404);

    for (const [{ id }, text] of [
      [first, "first"],
      [second, "second"],
    ] as const) {
      expect((await api.call("POST", `/v1/capsules/${id}/pause`)).status).toBe(200);
      expect((await api.call("POST", `/v1/capsules/${id}/resume`)).status).toBe(200);
      expect((await api.shell(id, readBoth)).stdout).toBe(`${text}\n${text}\n`);
    }
  });
});

test("a create with a key that is sent again at once and later makes one capsule", async () => {
  await using stack = new AsyncDisposableStack();
  const headers = { "idempotency-key": newId("request") };
  const create = async () => {
    const response = await api.call("POST", "/v1/capsules", { metadata: { by: "key" } }, headers);
    expect(response.status).toBe(201);
    return { body: (await response.json()) as Capsule, again: response.headers.has("idempotency-replayed") };
  };
  const both = await Promise.all([create(), create()]);
  const later = await create();
  stack.defer(async () => {
    await api.call("DELETE", `/v1/capsules/${later.body.id}`);
  });
  expect(both.filter(({ again }) => again)).toHaveLength(1);
  expect(later.again).toBe(true);
  for (const { body } of both) expect(body).toEqual(later.body);
});
