import { request as httpRequest } from "node:http";
import { toConnectError, WrennError } from "@wrenn/contracts";
import type { ExecRequest } from "@wrenn/contracts/host";
import { type ErrorBody, type ExecResult, maxForegroundOutputBytes } from "@wrenn/contracts/rest";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { shown, startTestControlPlane, type TestControlPlane } from "../testing/control-plane.ts";
import { startTestPostgres, type TestPostgres } from "../testing/postgres.ts";

let postgres: TestPostgres;
let cp: TestControlPlane;
let id: string;
let asked: ExecRequest;
beforeAll(async () => {
  postgres = await startTestPostgres();
  cp = await startTestControlPlane(postgres);
});
afterAll(async () => {
  await cp[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});
beforeEach(async () => {
  id = await cp.runningCapsule();
});

const started = { event: { case: "started" as const, value: { pid: 42 } } };
const stdout = (value: Uint8Array) => ({ event: { case: "stdout" as const, value } });
const stderr = (value: Uint8Array) => ({ event: { case: "stderr" as const, value } });
const ended = (exitCode: number, signal = 0) => ({
  event: { case: "ended" as const, value: { exitCode, signal } },
});

/** Makes the host answer with these events, and then fail, if told to. */
function hostAnswers(
  events: Parameters<typeof Array.from<unknown>>[0] | unknown[],
  failure?: WrennError,
): void {
  cp.agent.answers = {
    async *exec(request) {
      asked = request;
      yield* events as never[];
      if (failure) throw toConnectError(failure);
    },
  };
}

const exec = (body: object) => cp.request("POST", `/v1/capsules/${id}/exec`, body);

describe("in the foreground", () => {
  test("answers what the command wrote and how it ended, and passes every field on", async () => {
    hostAnswers([
      started,
      stdout(Buffer.from("grü")),
      stderr(Buffer.from("warn")),
      stdout(Buffer.from("ße")),
      ended(3),
    ]);
    const body = {
      cmd: "sh",
      args: ["-c", "x"],
      timeout_sec: 7,
      envs: { A: "b" },
      cwd: "/tmp",
      user: "u",
      tag: "t",
    };
    const response = await exec(body);
    expect(response.statusCode).toBe(200);
    const expected = { stdout: "grüße", stderr: "warn", exit_code: 3, encoding: "utf-8", truncated: false };
    expect(response.json()).toMatchObject({ sandbox_id: id, cmd: "sh", ...expected });
    const { cmd, args, envs, cwd, user, tag } = body;
    expect(asked).toMatchObject({ capsuleId: id, cmd, args, envs, cwd, user, tag, timeoutMs: 7000n });
  });

  test("a character that is cut between two events is whole", async () => {
    const euro = Buffer.from("€");
    hostAnswers([started, stdout(euro.subarray(0, 1)), stdout(euro.subarray(1)), ended(0)]);
    expect((await exec({ cmd: "x" })).json<ExecResult>().stdout).toBe("€");
  });

  test("output that is not UTF-8 makes both streams base64", async () => {
    hostAnswers([started, stdout(Buffer.from([0xff, 0])), stderr(Buffer.from("text")), ended(0)]);
    const result = (await exec({ cmd: "x" })).json<ExecResult>();
    expect(result.encoding).toBe("base64");
    expect(Buffer.from(result.stdout, "base64")).toEqual(Buffer.from([0xff, 0]));
    expect(Buffer.from(result.stderr, "base64").toString()).toBe("text");
  });

  test("output beyond the limit is dropped, and the answer says so", async () => {
    const chunk = stdout(Buffer.alloc(1024 * 1024, "x"));
    hostAnswers([started, ...Array.from({ length: 12 }, () => chunk), ended(0)]);
    const result = (await exec({ cmd: "yes" })).json<ExecResult>();
    expect(result).toMatchObject({ truncated: true, exit_code: 0, encoding: "utf-8" });
    expect(result.stdout).toHaveLength(maxForegroundOutputBytes);
  });

  test("a command that a signal ended has the exit code that a shell gives it", async () => {
    hostAnswers([started, ended(-1, 9)]);
    expect((await exec({ cmd: "x" })).json<ExecResult>().exit_code).toBe(137);
  });

  test("one that takes too long is 504 and names timeout_sec", async () => {
    hostAnswers([started], new WrennError("deadline_exceeded", "in the guest"));
    const response = await exec({ cmd: "sleep", timeout_sec: 0 });
    expect(response.statusCode).toBe(504);
    expect(response.json()).toMatchObject({ error: { code: "deadline_exceeded", field: "timeout_sec" } });
    expect(asked.timeoutMs).toBe(30_000n);
  });

  test("a client that leaves is not listened for any more", async () => {
    const { promise: aborted, resolve } = Promise.withResolvers<void>();
    const running = Promise.withResolvers<void>();
    cp.agent.answers = {
      async *exec(_request, context) {
        context.signal.addEventListener("abort", () => resolve());
        yield started;
        running.resolve();
        await aborted;
      },
    };
    const url = cp.api.server.listening
      ? `http://127.0.0.1:${(cp.api.server.address() as { port: number }).port}`
      : await cp.api.listen({ host: "127.0.0.1", port: 0 });
    const headers = { "x-api-key": cp.apiKey, "content-type": "application/json" };
    const client = httpRequest(`${url}/v1/capsules/${id}/exec`, { method: "POST", headers });
    const left = new Promise<void>((resolve) => client.on("error", () => {}).on("close", resolve));
    client.end(JSON.stringify({ cmd: "sleep" }));
    await running.promise;
    client.destroy();
    await left;
    await aborted;
  });
});

describe("in the background", () => {
  test("answers 202 when it has started, without a limit unless one is asked for", async () => {
    hostAnswers([started]);
    const response = await exec({ cmd: "server", background: true });
    expect(response.statusCode).toBe(202);
    expect(response.json()).toMatchObject({ sandbox_id: id, cmd: "server", pid: 42 });
    expect(response.json<{ tag: string }>().tag).toMatch(/^proc-[0-9a-f]{8}$/);
    expect(asked.timeoutMs).toBe(0n);
    expect((await exec({ cmd: "x", background: true, tag: "mine", timeout_sec: 5 })).json()).toMatchObject({
      tag: "mine",
    });
    expect(asked).toMatchObject({ tag: "mine", timeoutMs: 5000n });
  });
});

describe("a wrong request", () => {
  test("names its field", async () => {
    const wrong: [object, string | undefined][] = [
      [{}, "cmd"],
      [{ cmd: "" }, "cmd"],
      [{ cmd: "a\0b" }, "cmd"],
      [{ cmd: "x", args: ["ok", 5] }, "args[1]"],
      [{ cmd: "x", args: ["ok", "\0"] }, "args[1]"],
      [{ cmd: "x", envs: { "A=B": "c" } }, "envs"],
      [{ cmd: "x", envs: { "": "c" } }, "envs"],
      [{ cmd: "x", envs: { A: 1 } }, "envs.A"],
      [{ cmd: "x", envs: { A: "\0" } }, "envs.A"],
      [{ cmd: "x", envs: [] }, "envs"],
      [{ cmd: "x", cwd: "\0" }, "cwd"],
      [{ cmd: "x", tag: "" }, "tag"],
      [{ cmd: "x", timeout_sec: 1e9 }, "timeout_sec"],
      [{ cmd: "x", background: "yes" }, "background"],
      [[], undefined],
    ];
    for (const [body, field] of wrong) {
      const response = await exec(body);
      expect(response.statusCode, JSON.stringify(body)).toBe(400);
      expect(response.json<ErrorBody>().error.field, JSON.stringify(body)).toBe(field);
    }
  });

  test("what the host refuses keeps its code and field", async () => {
    hostAnswers([], new WrennError("not_found", "there is no /nowhere", { field: "cwd" }));
    const response = await exec({ cmd: "x", cwd: "/nowhere" });
    expect(response.statusCode).toBe(404);
    expect(response.json()).toMatchObject({ error: { code: "not_found", field: "cwd" } });
    expect(await shown(cp, id)).toMatchObject({ status: "running" });
  });
});

describe("a capsule that does not run", () => {
  test("is 409 and says its state", async () => {
    const row = (await cp.settling.store.findMany([id]))[0];
    if (row) await cp.settling.store.move(row, "error", { reason: "lost" });
    const response = await exec({ cmd: "x" });
    expect(response.statusCode).toBe(409);
    expect(response.json()).toMatchObject({ error: { code: "invalid_state", message: /"error"/ } });
  });

  test("is found out when its host does not have it", async () => {
    hostAnswers([], new WrennError("not_found", "capsule is not on this host", { field: "id" }));
    expect((await exec({ cmd: "x" })).statusCode).toBe(409);
    expect(await shown(cp, id)).toMatchObject({ status: "error", reason: "lost" });
  });
});

test("a command is activity, a look at the row is not", async () => {
  hostAnswers([started, ended(0)]);
  const before = (await shown(cp, id)).last_active_at ?? "";
  await exec({ cmd: "x" });
  await cp.activity.flush();
  const after = (await shown(cp, id)).last_active_at ?? "";
  expect(after > before).toBe(true);
  await cp.activity.flush();
  expect((await shown(cp, id)).last_active_at).toBe(after);
});
