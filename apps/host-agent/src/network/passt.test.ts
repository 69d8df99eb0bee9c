import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { identify, isRunning } from "../processes/identity.ts";
import { endPasst, startPasst } from "./passt.ts";

test("a passt whose machine never came is ended by whoever finds its run directory, and nothing else is", async () => {
  await using stack = new AsyncDisposableStack();
  // Where passt, which gives up being root, may write.
  const runDir = await mkdtemp(join(tmpdir(), "wrenn-passt-"));
  stack.defer(() => rm(runDir, { recursive: true }));
  await chmod(runDir, 0o777);
  const { signal } = new AbortController();
  stack.use(await startPasst(runDir, signal));
  const pidFile = join(runDir, "passt.pid");
  const passt = await identify(Number(await readFile(pidFile, "utf8")));
  expect(await isRunning(passt)).toBe(true);

  await endPasst(runDir);
  expect(await isRunning(passt)).toBe(false);

  await writeFile(pidFile, String(process.ppid));
  await endPasst(runDir);
  expect(await isRunning(await identify(process.ppid))).toBe(true);
});
