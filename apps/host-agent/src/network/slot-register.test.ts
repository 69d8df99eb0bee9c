import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { SlotRegister } from "./slot-register.ts";

test("one index has one owner, and each agent finds its own again", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-register-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const [one, two] = [new SlotRegister("/one", dir), new SlotRegister("/two", dir)];

  expect(await Promise.all([one.claim(7), two.claim(7), one.claim(7)])).toContain(true);
  const owners = await Promise.all([one.mine(), two.mine()]);
  expect(owners.flat()).toEqual([7]);

  await Promise.all([one.release(7), two.release(7)]);
  expect(await two.claim(7)).toBe(true);
  expect(await one.claim(8)).toBe(true);
  expect(await new SlotRegister("/two", dir).mine()).toEqual([7]);
  expect((await readdir(dir)).sort()).toEqual(["7", "8"]);
});

test("a claim that was not finished is removed by the agent that began it, and by no other", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-register-"));
  stack.defer(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, ".0011223344556677"), "/one");
  await writeFile(join(dir, ".8899aabbccddeeff"), "/two");
  await new SlotRegister("/one", dir).removeUnfinished();
  expect(await readdir(dir)).toEqual([".8899aabbccddeeff"]);
});
