import { createHash } from "node:crypto";
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

describe("a command in the foreground", () => {
  test("answers exit code, stdout and stderr", async () => {
    const result = await api.shell(id, "echo out; echo err >&2; exit 3");
    expect(result).toMatchObject({
      stdout: "out\n",
      stderr: "err\n",
      exit_code: 3,
      encoding: "utf-8",
      truncated: false,
    });
    expect(result.duration_ms).toBeGreaterThan(0);
  });

  test("is a program with arguments, not a shell line", async () => {
    const { stdout } = await api.exec(id, { cmd: "printf", args: ["%s|", "a b", "$HOME", ";"] });
    expect(stdout).toBe("a b|$HOME|;|");
  });

  test("keeps binary output byte for byte", async () => {
    const result = await api.shell(id, "printf '\\377\\000\\001'; echo text >&2");
    expect(result.encoding).toBe("base64");
    expect([...Buffer.from(result.stdout, "base64")]).toEqual([255, 0, 1]);
    expect(Buffer.from(result.stderr, "base64").toString()).toBe("text\n");
  });

  test("keeps four megabytes of output whole", async () => {
    const { stdout } = await api.shell(id, "head -c 4194304 /dev/zero | tr '\\0' x");
    expect(createHash("sha256").update(stdout).digest("hex")).toBe(
      createHash("sha256").update("x".repeat(4_194_304)).digest("hex"),
    );
  });

  test("says so when output is longer than an answer holds", async () => {
    const result = await api.shell(id, "head -c 9000000 /dev/zero | tr '\\0' x; echo end >&2");
    expect(result.truncated).toBe(true);
    expect(result.stderr).toBe("end\n");
  });

  test("honours environment and working directory", async () => {
    const { stdout } = await api.shell(id, 'echo "$GREETING"; pwd', {
      envs: { GREETING: "hällo" },
      cwd: "/var/tmp",
    });
    expect(stdout).toBe("hällo\n/var/tmp\n");
  });

  test("runs as the user asked for, with its groups and home", async () => {
    const { stdout } = await api.shell(id, "id -un; id -Gn; pwd; echo $HOME", { user: "user" });
    const [name, groups, cwd, home] = stdout.split("\n");
    expect(name).toBe("user");
    expect(groups?.split(" ")).toContain("sudo");
    expect([cwd, home]).toEqual(["/home/user", "/home/user"]);
  });

  test("reports death by a signal as a shell does", async () => {
    expect((await api.shell(id, "kill -TERM $$")).exit_code).toBe(143);
  });

  test("is ended with its children when its time is over", async () => {
    const response = await api.call("POST", `/v1/capsules/${id}/exec`, {
      cmd: "/bin/sh",
      args: ["-c", "sleep 4242 & sleep 4242"],
      timeout_sec: 1,
    });
    expect(response.status).toBe(504);
    expect(await response.json()).toMatchObject({ error: { code: "deadline_exceeded" } });
    await expect
      .poll(async () => (await api.exec(id, { cmd: "pgrep", args: ["-f", "sleep 4242"] })).exit_code)
      .toBe(1);
  });
});

test("a background command answers at once and runs on", async () => {
  const response = await api.call("POST", `/v1/capsules/${id}/exec`, {
    cmd: "/bin/sh",
    args: ["-c", "sleep 1; echo done >/root/background"],
    background: true,
    tag: "job",
  });
  expect(response.status).toBe(202);
  expect(await response.json()).toMatchObject({ tag: "job", pid: expect.any(Number) });
  await expect
    .poll(async () => (await api.shell(id, "cat /root/background")).stdout, { timeout: 20_000 })
    .toBe("done\n");
});

describe("what cannot be run is refused by name", () => {
  const cases: [string, Record<string, unknown>, number, string][] = [
    ["a missing program", { cmd: "/no/such" }, 404, "/no/such"],
    ["a missing directory", { cmd: "true", cwd: "/no/such" }, 400, "/no/such"],
    ["an unknown user", { cmd: "true", user: "nobody-here" }, 400, "nobody-here"],
    ["no program", { args: ["x"] }, 400, "cmd"],
    ["a bad variable name", { cmd: "true", envs: { "A=B": "c" } }, 400, "envs"],
  ];
  test.each(cases)("%s", async (_name, body, status, named) => {
    const response = await api.call("POST", `/v1/capsules/${id}/exec`, body);
    const { error } = (await response.json()) as { error: { message: string } };
    expect([response.status, error.message]).toEqual([status, expect.stringContaining(named)]);
  });
});
