import type { Capsule, ErrorBody } from "@wrenn/contracts/rest";
import { describe, expect, inject, test } from "vitest";
import { Api } from "./support/api.ts";
import "./support/provided.ts";
import { machinePid } from "./support/machines.ts";

const api = new Api(inject("platform"));

const command = (id: string, name: string, body?: object) =>
  api.call("POST", `/v1/capsules/${id}/${name}`, body);

async function shown(id: string): Promise<Capsule> {
  return (await (await api.call("GET", `/v1/capsules/${id}`)).json()) as Capsule;
}

/** Memory that is lost with the machine, and a file that is not. */
const writeBoth = "echo in memory >/dev/shm/x; echo on disk >/root/x; sync";
const readBoth = "cat /dev/shm/x /root/x";

describe("pause and resume", () => {
  test("keep memory and disk, and hold no machine in between", async () => {
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack);
    await api.shell(id, writeBoth);
    const paused = await command(id, "pause");
    expect(await paused.json()).toMatchObject({ id, status: "paused", state: "paused" });
    expect(await machinePid(api.platform.wrennDir, id)).toBeUndefined();
    expect((await api.call("POST", `/v1/capsules/${id}/exec`, { cmd: "true" })).status).toBe(409);

    const again = (await (await command(id, "pause")).json()) as ErrorBody;
    expect(again.error).toMatchObject({ code: "invalid_state", message: expect.stringContaining("paused") });

    const resumed = await command(id, "resume");
    expect(await resumed.json()).toMatchObject({ id, status: "running", state: "running" });
    expect((await api.shell(id, readBoth)).stdout).toBe("in memory\non disk\n");
    expect((await command(id, "resume")).status).toBe(409);
  });

  test("of a capsule that wakes up by itself happen without being asked for", async () => {
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack, { auto_resume: true });
    await api.shell(id, writeBoth);
    expect((await command(id, "pause")).status).toBe(200);
    const answers = await Promise.all(Array.from({ length: 3 }, () => api.shell(id, readBoth)));
    expect(answers.map(({ stdout }) => stdout)).toEqual(Array(3).fill("in memory\non disk\n"));
    expect(await shown(id)).toMatchObject({ state: "running" });
  });

  test("a paused capsule is destroyed like any other", async () => {
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack);
    await command(id, "pause");
    expect((await api.call("DELETE", `/v1/capsules/${id}`)).status).toBe(204);
    expect(await shown(id)).toMatchObject({ status: "stopped", reason: "destroyed" });
    expect((await command(id, "resume")).status).toBe(409);
  });
});

describe("a fork", () => {
  test("of a running capsule, and of a paused one, has copies of its memory and disk that go their own way", async () => {
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack, { timeout_sec: 600 });
    await api.shell(id, writeBoth);
    for (const state of ["running", "paused"] as const) {
      if (state === "paused") expect((await command(id, "pause")).status).toBe(200);
      const response = await command(id, "fork", { count: 2, metadata: { of: state } });
      expect(response.status).toBe(201);
      const copies = (await response.json()) as Capsule[];
      for (const copy of copies)
        stack.defer(() => api.call("DELETE", `/v1/capsules/${copy.id}`).then(() => {}));
      expect(copies).toHaveLength(2);
      for (const copy of copies) {
        expect(copy).toMatchObject({ state: "running", timeout_sec: 600, metadata: { of: state } });
        expect((await api.shell(copy.id, readBoth)).stdout).toBe("in memory\non disk\n");
        await api.shell(copy.id, "echo own >/dev/shm/x; echo own >/root/x");
      }
      expect(await shown(id)).toMatchObject({ state });
    }
    expect((await command(id, "resume")).status).toBe(200);
    expect((await api.shell(id, readBoth)).stdout).toBe("in memory\non disk\n");
  });
});

describe("a hibernated capsule", () => {
  test("lies in the archive, is woken up by whoever needs it, and is where it was", async () => {
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack, { auto_resume: true });
    await api.shell(id, writeBoth);
    expect((await command(id, "hibernate")).status).toBe(409);
    expect((await command(id, "pause")).status).toBe(200);
    const hibernated = await command(id, "hibernate");
    expect(await hibernated.json()).toMatchObject({ status: "hibernated", state: "hibernated" });
    expect((await api.shell(id, readBoth)).stdout).toBe("in memory\non disk\n");
    expect(await shown(id)).toMatchObject({ state: "running" });
  });
});

describe("a capsule whose machine has died", () => {
  test("is found out by whoever uses it, and starts again from its disk", async () => {
    await using stack = new AsyncDisposableStack();
    const { id } = await api.capsule(stack);
    await api.shell(id, writeBoth);
    process.kill((await machinePid(api.platform.wrennDir, id)) ?? 0, "SIGKILL");
    await expect.poll(async () => (await shown(id)).state).toBe("error");
    expect((await command(id, "resume")).status).toBe(409);
    const resumed = await command(id, "resume", { from: "disk" });
    expect(await resumed.json()).toMatchObject({ state: "running" });
    expect((await api.shell(id, "cat /root/x; test -e /dev/shm/x || echo gone")).stdout).toBe(
      "on disk\ngone\n",
    );
  });
});
