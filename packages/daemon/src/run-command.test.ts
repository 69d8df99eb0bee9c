import { expect, test } from "vitest";
import { CommandFailed, runCommand } from "./run-command.ts";

test("answers what the program wrote", async () => {
  await expect(runCommand("cat", [], { input: "in" })).resolves.toEqual({ stdout: "in", stderr: "" });
});

test("a failing program is an error with its code and last words", async () => {
  const failure = await runCommand("sh", ["-c", "echo why >&2; exit 3"]).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(CommandFailed);
  expect(failure).toMatchObject({ exitCode: 3, message: "sh ended with code 3: why" });
});

test("a program that is not installed is named with the cure", async () => {
  await expect(runCommand("no-such-program", [])).rejects.toMatchObject({
    code: "vmm_missing",
    message: expect.stringContaining("no-such-program"),
  });
});

test("an abort ends the program", async () => {
  const controller = new AbortController();
  const running = runCommand("sleep", ["60"], { signal: controller.signal });
  controller.abort();
  await expect(running).rejects.toMatchObject({ name: "AbortError" });
});
