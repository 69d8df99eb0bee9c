import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Capsule } from "@wrenn/contracts/rest";
import { describe, expect, inject, test } from "vitest";
import { Api } from "./support/api.ts";
import "./support/provided.ts";
import { processesIn } from "./support/leftovers.ts";
import { machinePid } from "./support/machines.ts";

const api = new Api(inject("platform"));

describe("the life of a capsule", () => {
  test("create, look, destroy, and look again", async () => {
    await using stack = new AsyncDisposableStack();
    const capsule = await api.capsule(stack);
    expect(capsule).toMatchObject({
      status: "running",
      state: "running",
      template: "minimal",
      vcpus: 1,
      memory_mb: 512,
    });
    expect(capsule.id).toMatch(/^cl[0-9a-z]{20,}$/);
    expect(capsule.metadata).toMatchObject({
      vmm: "qemu-tcg",
      kernel_version: expect.stringMatching(/^\d+\.\d+/),
    });

    const listed = (await (await api.call("GET", "/v1/capsules")).json()) as Capsule[];
    expect(listed.map(({ id }) => id)).toContain(capsule.id);

    const path = `/v1/capsules/${capsule.id}`;
    expect((await api.call("DELETE", path)).status).toBe(204);
    expect(await (await api.call("GET", path)).json()).toMatchObject({ status: "stopped" });
    expect((await api.call("DELETE", path)).status).toBe(204);
    const after = (await (await api.call("GET", "/v1/capsules")).json()) as Capsule[];
    expect(after.map(({ id }) => id)).not.toContain(capsule.id);
  });

  test("destroy leaves no process, run directory or disk layer", async () => {
    const { wrennDir } = api.platform;
    const layersBefore = await readdir(join(wrennDir, "layers"));
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack);
    expect(await machinePid(wrennDir, id)).toBeTypeOf("number");

    await api.call("DELETE", `/v1/capsules/${id}`);

    expect(await processesIn(join(wrennDir, "machines", id))).toEqual([]);
    expect(await readdir(join(wrennDir, "machines"))).not.toContain(id);
    expect(await readdir(join(wrennDir, "layers"))).toEqual(layersBefore);
  });

  test("two capsules of one template are two computers", async () => {
    await using stack = new AsyncDisposableStack();
    const [one, two] = [await api.capsule(stack), await api.capsule(stack)];
    await api.shell(one.id, "echo one >/root/mine; sync");
    expect((await api.shell(two.id, "cat /root/mine")).exit_code).not.toBe(0);

    const identity =
      "hostname; cat /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1; cat /etc/hostname";
    const [left, right] = await Promise.all([api.shell(one.id, identity), api.shell(two.id, identity)]);
    const lines = [left.stdout.trim().split("\n"), right.stdout.trim().split("\n")];
    for (const i of [0, 1, 2, 3]) expect(lines[0]?.[i], `line ${i}`).not.toBe(lines[1]?.[i]);
    expect(lines[0]?.[0]).toBe(one.id);
  });

  test("two sizes of one template have what was asked for", async () => {
    await using stack = new AsyncDisposableStack();
    const small = await api.capsule(stack, { vcpus: 1, memory_mb: 256 });
    const large = await api.capsule(stack, { vcpus: 2, memory_mb: 1024 });
    for (const { id, vcpus, memory_mb } of [small, large]) {
      const { stdout } = await api.shell(id, "nproc; awk '/MemTotal/ { print $2 }' /proc/meminfo");
      const [cpus, memoryKib] = stdout.split("\n").map(Number);
      expect(cpus).toBe(vcpus);
      // The kernel keeps some of the memory for itself.
      expect(memoryKib).toBeGreaterThan(memory_mb * 1024 * 0.8);
      expect(memoryKib).toBeLessThanOrEqual(memory_mb * 1024);
    }
  });

  test("the clock of a capsule is right although its snapshot is old", async () => {
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack);
    const before = Date.now() / 1000;
    const { stdout } = await api.shell(id, "date +%s.%N");
    expect(Math.abs(Number(stdout) - before)).toBeLessThan(5);
  });

  test("a machine that dies is noticed, and its capsule can be destroyed", async () => {
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack);
    const pid = await machinePid(api.platform.wrennDir, id);
    process.kill(Number(pid), "SIGKILL");
    await expect
      .poll(async () => (await api.call("POST", `/v1/capsules/${id}/exec`, { cmd: "true" })).status)
      .toBe(409);
    expect(await (await api.call("GET", `/v1/capsules/${id}`)).json()).toMatchObject({ status: "error" });
    expect((await api.call("DELETE", `/v1/capsules/${id}`)).status).toBe(204);
  });
});

describe("bad input", () => {
  const unknown = "cl0000000000000000000000000";
  const cases: [string, string, string, unknown, number, string, string | undefined][] = [
    ["unknown template", "POST", "/v1/capsules", { template: "nope" }, 404, "not_found", "template"],
    ["vcpus not in the list", "POST", "/v1/capsules", { vcpus: 3 }, 400, "invalid_request", "vcpus"],
    [
      "memory not in the list",
      "POST",
      "/v1/capsules",
      { memory_mb: 500 },
      400,
      "invalid_request",
      "memory_mb",
    ],
    ["wrong type", "POST", "/v1/capsules", { vcpus: "many" }, 400, "invalid_request", "vcpus"],
    ["bad JSON", "POST", "/v1/capsules", "{", 400, "invalid_request", undefined],
    ["unknown id", "GET", `/v1/capsules/${unknown}`, undefined, 404, "not_found", undefined],
    ["id of another shape", "GET", "/v1/capsules/..%2f..", undefined, 404, "not_found", undefined],
    [
      "exec in an unknown capsule",
      "POST",
      `/v1/capsules/${unknown}/exec`,
      { cmd: "true" },
      404,
      "not_found",
      undefined,
    ],
    ["unknown route", "GET", "/v1/nope", undefined, 404, "not_found", undefined],
  ];

  test.each(cases)("%s", async (_name, method, path, body, status, code, field) => {
    const response = await api.call(method, path, body);
    expect(response.status).toBe(status);
    const { error } = (await response.json()) as { error: { code: string; message: string; field?: string } };
    expect(error.code).toBe(code);
    if (field) {
      expect(error.field).toBe(field);
      expect(error.message).toContain(field);
    }
  });

  test("a wrong or missing key opens nothing; both spellings of the right one do", async () => {
    for (const key of ["", "wrn_00", `wrn_${"0".repeat(64)}`]) {
      const response = await api.call("GET", "/v1/capsules", undefined, { "x-api-key": key });
      expect(response.status, key).toBe(401);
      expect(await response.json()).toMatchObject({ error: { code: "unauthorized" } });
    }
    const spelled = api.platform.apiKey.replace(/^wrn_/, "e2b_");
    expect((await api.call("GET", "/v1/capsules", undefined, { "x-api-key": spelled })).status).toBe(200);
  });

  test("a stopped capsule runs nothing", async () => {
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack);
    await api.call("DELETE", `/v1/capsules/${id}`);
    const response = await api.call("POST", `/v1/capsules/${id}/exec`, { cmd: "true" });
    expect(response.status).toBe(409);
    expect(await response.json()).toMatchObject({ error: { code: "invalid_state" } });
  });
});
