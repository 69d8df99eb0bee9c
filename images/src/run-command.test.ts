import { expect, test } from "vitest";
import { runCommand } from "./run-command.ts";

test("a command gets its input and gives its output", async () => {
  expect(await runCommand("cat", ["-"], { input: "text" })).toBe("text");
});

test("a failed command is told in one sentence with its last line", async () => {
  await expect(runCommand("cat", ["/absent"])).rejects.toMatchObject({
    code: "image_missing",
    message: "Building the images failed, cat ended with status 1: cat: /absent: No such file or directory.",
  });
});

test("a missing program is named", async () => {
  await expect(runCommand("/absent/program", [])).rejects.toMatchObject({
    code: "image_missing",
    message: "The images cannot be built without /absent/program.",
  });
});

test("an abort ends the command and rejects with the caller's reason", async () => {
  const abort = new AbortController();
  const running = runCommand("cat", ["/dev/zero"], { signal: abort.signal });
  abort.abort(new Error("enough"));
  await expect(running).rejects.toThrow("enough");
});
