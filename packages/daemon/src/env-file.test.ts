import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { loadEnvFile } from "./env-file.ts";

test("a file adds what is not set, and an absent one nothing", async () => {
  await using stack = new AsyncDisposableStack();
  stack.defer(() => void vi.unstubAllEnvs());
  const dir = await mkdtemp(join(tmpdir(), "wrenn-env-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const path = join(dir, ".env");
  await writeFile(path, "# comment\nWRENN_TEST_SET=file\nWRENN_TEST_EMPTY=file\nWRENN_TEST_NEW='a b'\n");
  vi.stubEnv("WRENN_TEST_SET", "real");
  vi.stubEnv("WRENN_TEST_EMPTY", "");
  vi.stubEnv("WRENN_TEST_NEW", undefined);

  loadEnvFile(join(dir, "absent"));
  loadEnvFile(path);

  const { WRENN_TEST_SET, WRENN_TEST_EMPTY, WRENN_TEST_NEW } = process.env;
  expect([WRENN_TEST_SET, WRENN_TEST_EMPTY, WRENN_TEST_NEW]).toEqual(["real", "", "a b"]);
});
