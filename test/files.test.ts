import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { Api } from "./support/api.ts";
import "./support/provided.ts";

const api = new Api(inject("platform"));
const stack = new AsyncDisposableStack();
let id: string;

beforeAll(async () => {
  ({ id } = await api.capsule(stack));
});
afterAll(() => stack.disposeAsync());

async function write(path: string, content: Blob): Promise<Response> {
  const form = new FormData();
  form.set("path", path);
  form.set("file", content, "upload");
  return await api.call("POST", `/v1/capsules/${id}/files/write`, form);
}

async function read(path: string): Promise<Response> {
  return await api.call("POST", `/v1/capsules/${id}/files/read`, { path });
}

test("100 MiB come back with the same hash", async () => {
  const content = randomBytes(100 * 1024 * 1024);
  const expected = createHash("sha256").update(content).digest("hex");
  expect((await write("/root/big", new Blob([content]))).status).toBe(204);

  const hash = createHash("sha256");
  const response = await read("/root/big");
  expect(response.status).toBe(200);
  for await (const chunk of response.body ?? []) hash.update(chunk);
  expect(hash.digest("hex")).toBe(expected);
  expect((await api.shell(id, "rm /root/big")).exit_code).toBe(0);
});

test("an empty file, and parents that did not exist", async () => {
  expect((await write("/root/a/b/empty", new Blob([]))).status).toBe(204);
  expect(await (await read("/root/a/b/empty")).text()).toBe("");
});

test("a directory is listed with what ls knows", async () => {
  await api.shell(id, "mkdir -p /root/d/sub && printf abc >/root/d/file && ln -s file /root/d/link");
  const response = await api.call("POST", `/v1/capsules/${id}/files/list`, { path: "/root/d" });
  const { entries } = (await response.json()) as { entries: { name: string; type: string; size: number }[] };
  expect(entries.map(({ name, type }) => [name, type])).toEqual([
    ["file", "file"],
    ["link", "symlink"],
    ["sub", "directory"],
  ]);
  expect(entries[0]).toMatchObject({
    size: 3,
    owner: "root",
    path: "/root/d/file",
    permissions: "-rw-r--r--",
  });
});

describe("what cannot be had is refused", () => {
  test("a missing file", async () => {
    expect((await read("/no/such")).status).toBe(404);
  });

  test("a directory read as a file", async () => {
    const response = await read("/root");
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: "invalid_request" } });
  });

  test("a file written over a directory", async () => {
    expect((await write("/root", new Blob(["x"]))).status).toBe(400);
  });

  test("an upload without a path, or with it after the file", async () => {
    const without = new FormData();
    without.set("file", new Blob(["x"]), "upload");
    const after = new FormData();
    after.set("file", new Blob(["x"]), "upload");
    after.set("path", "/root/late");
    for (const form of [without, after]) {
      const response = await api.call("POST", `/v1/capsules/${id}/files/write`, form);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: { code: "invalid_request", field: "path" } });
    }
    expect((await read("/root/late")).status).toBe(404);
  });

  test("more than the disk holds; the old file stays, and so does the connection", async () => {
    await api.shell(id, "mkdir /root/small && mount -t tmpfs -o size=8m none /root/small");
    expect((await write("/root/small/keep", new Blob(["old"]))).status).toBe(204);
    for (const mebibytes of [9, 11, 13, 16]) {
      const response = await write("/root/small/keep", new Blob([Buffer.alloc(mebibytes * 1024 * 1024)]));
      expect(response.status).toBe(507);
      expect(await response.json()).toMatchObject({ error: { code: "no_space" } });
      expect(await (await read("/root/small/keep")).text()).toBe("old");
    }
    expect((await api.shell(id, "ls -A /root/small")).stdout).toBe("keep\n");
  });
});
