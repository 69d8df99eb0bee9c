import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, inject, test } from "vitest";
import { repository } from "./support/platform-process.ts";
import "./support/provided.ts";

const marker = "<!-- run by test/readme.test.ts -->\n```sh\n";

test("the commands of the README do what it says", async () => {
  await using stack = new AsyncDisposableStack();
  const readme = await readFile(join(repository, "README.md"), "utf8");
  const start = readme.indexOf(marker) + marker.length;
  expect(start).toBeGreaterThan(marker.length);
  const commands = readme.slice(start, readme.indexOf("\n```", start));

  const cwd = await mkdtemp(join(tmpdir(), "wrenn-readme-"));
  stack.defer(() => rm(cwd, { recursive: true }));
  const { url, apiKey } = inject("platform");
  const env = { ...process.env, WRENN_CP_URL: url, WRENN_API_KEY: apiKey };
  const { stdout } = await promisify(execFile)("bash", ["-euo", "pipefail", "-c", commands], { cwd, env });

  expect(stdout).toContain("uid=0(root)");
  expect(stdout).toContain("hello");
});
