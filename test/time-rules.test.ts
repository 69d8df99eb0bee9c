import type { Capsule } from "@wrenn/contracts/rest";
import { expect, inject, test } from "vitest";
import { Api } from "./support/api.ts";
import { machinePid } from "./support/machines.ts";
import "./support/provided.ts";

const api = new Api(inject("platform"));
const poll = { timeout: 30_000, interval: 100 };

async function stateOf(id: string): Promise<Capsule> {
  return (await (await api.call("GET", `/v1/capsules/${id}`)).json()) as Capsule;
}

test("a capsule that nobody uses is paused; what needs it resumes it where it was", async () => {
  await using stack = new AsyncDisposableStack();
  const { id } = await api.capsule(stack, { timeout_sec: 2, auto_resume: true });
  await api.shell(id, "echo kept >/dev/shm/memory; sleep 1000 >/dev/null 2>&1 &");
  await expect.poll(async () => (await stateOf(id)).state, poll).toBe("paused");
  expect(await stateOf(id)).toMatchObject({ status: "paused", reason: "idle_timeout" });
  expect(await machinePid(api.platform.wrennDir, id)).toBeUndefined();
  const { stdout } = await api.shell(id, "cat /dev/shm/memory; pgrep -c -x sleep");
  expect(stdout).toBe("kept\n1\n");
});

test("a capsule in use is not idle: a command that runs for longer than the timeout is finished", async () => {
  await using stack = new AsyncDisposableStack();
  const { id } = await api.capsule(stack, { timeout_sec: 2, auto_resume: true });
  expect((await api.shell(id, "sleep 5; echo done")).stdout).toBe("done\n");
});

test("a capsule is destroyed when its time is over and its rules say so", async () => {
  const { id } = await api.capsule(new AsyncDisposableStack(), { timeout_sec: 1, on_timeout: "destroy" });
  await expect.poll(async () => (await stateOf(id)).state, poll).toBe("stopped");
  expect(await stateOf(id)).toMatchObject({ reason: "idle_timeout" });
});

test("rules that are changed hold at once", async () => {
  await using stack = new AsyncDisposableStack();
  const { id } = await api.capsule(stack);
  const response = await api.call("PATCH", `/v1/capsules/${id}`, { max_run_sec: 1 });
  expect(response.status).toBe(200);
  await expect.poll(async () => (await stateOf(id)).state, poll).toBe("paused");
  expect(await stateOf(id)).toMatchObject({ reason: "max_run_time" });
});
