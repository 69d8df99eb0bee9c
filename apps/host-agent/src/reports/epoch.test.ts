import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, expect, test } from "vitest";
import { nextEpoch } from "./epoch.ts";

const logger = makeLogger("epoch", "silent");
let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "wrenn-epoch-"));
});
afterEach(() => rm(dir, { recursive: true }));

test("grows with every start, however quickly they follow", async () => {
  const path = join(dir, "agent-epoch");
  const first = await nextEpoch(path, logger);
  const second = await nextEpoch(path, logger);
  expect(second).toBeGreaterThan(first);
  expect(await nextEpoch(path, logger)).toBeGreaterThan(second);
});

test("a file that was lost or damaged does not make this life look older than the last", async () => {
  const path = join(dir, "agent-epoch");
  const first = await nextEpoch(path, logger);
  await rm(path);
  expect(await nextEpoch(path, logger)).toBeGreaterThanOrEqual(first);
  await writeFile(path, "garbage");
  expect(await nextEpoch(path, logger)).toBeGreaterThanOrEqual(first);
});

test("a clock that is set back does not", async () => {
  const path = join(dir, "agent-epoch");
  const ahead = Math.floor(Date.now() / 1000) + 1_000_000;
  await writeFile(path, `${ahead}\n`);
  expect(await nextEpoch(path, logger)).toBe(ahead + 1);
});
