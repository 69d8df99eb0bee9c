import { once } from "node:events";
import { text } from "node:stream/consumers";
import { expect, inject, test } from "vitest";
import { leftoversOf } from "./support/leftovers.ts";
import { makeWrennDir, platformEnvironment, startCli } from "./support/platform-process.ts";
import "./support/provided.ts";

/** Runs a program of the CLI to its end. */
async function run(args: string[], env: NodeJS.ProcessEnv): Promise<{ code: number; lines: string[] }> {
  const child = startCli(args, env);
  if (!child.stdout) throw new Error("stdout is not piped");
  const [stdout, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  return { code, lines: stdout.trim().split("\n") };
}

test("wrenn demo starts everything, says what it measured, and tears everything down", async () => {
  await using stack = new AsyncDisposableStack();
  const wrennDir = await makeWrennDir(stack);

  const { code, lines } = await run(["demo"], platformEnvironment(wrennDir));

  expect(code).toBe(0);
  expect(JSON.parse(lines.at(-1) ?? "")).toEqual({
    ok: true,
    vmm: "qemu-tcg",
    create_ms: expect.any(Number),
    exec_ms: expect.any(Number),
    kernel: expect.stringMatching(/^\d+\.\d+\.\d+/),
    stdout: expect.stringMatching(/^Hello from cl[0-9a-z]{25}/),
  });
  const left = await leftoversOf(wrennDir);
  expect(left.filter((name) => !name.startsWith("layers/"))).toEqual([]);
});

test("wrenn demo says so when it fails", async () => {
  await using stack = new AsyncDisposableStack();
  const wrennDir = await makeWrennDir(stack);
  const { code, lines } = await run(["demo"], platformEnvironment(wrennDir, { LOG_LEVEL: "loud" }));
  expect(code).toBe(1);
  expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({
    ok: false,
    error: expect.stringContaining("LOG_LEVEL"),
  });
});

test("wrenn hello greets from a platform that runs elsewhere", async () => {
  const { url, apiKey } = inject("platform");
  const { code, lines } = await run(["hello"], { ...process.env, WRENN_CP_URL: url, WRENN_API_KEY: apiKey });
  expect(code).toBe(0);
  expect(lines[0]).toMatch(/^Hello from cl[0-9a-z]{25}/);
});
