import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockFile } from "./image-lock.ts";

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wrenn-lock-"));
  file = join(folder, "lock");
});

afterEach(() => rm(folder, { recursive: true }));

test("a second holder waits for the first", async () => {
  const order: string[] = [];
  const first = await lockFile(file);
  const second = lockFile(file).then(async (lock) => {
    order.push("second");
    await lock[Symbol.asyncDispose]();
  });
  order.push("first");
  await first[Symbol.asyncDispose]();
  await second;
  expect(order).toEqual(["first", "second"]);
});

test("a waiting holder can be aborted, and does not get the lock later", async () => {
  await using _first = await lockFile(file);
  const abort = new AbortController();
  const second = lockFile(file, abort.signal);
  abort.abort(new Error("enough"));
  await expect(second).rejects.toThrow("enough");
});

test("the lock is free when its holder is killed", async () => {
  const module = JSON.stringify(new URL("./image-lock.ts", import.meta.url).href);
  const code = `const { lockFile } = await import(${module});
    await lockFile(${JSON.stringify(file)});
    console.log("locked");
    setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ["--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(holder.stdout, "data");
  const waiting = lockFile(file);
  holder.kill("SIGKILL");
  await (await waiting)[Symbol.asyncDispose]();
});

test("a lock in a folder that does not exist is refused", async () => {
  await expect(lockFile(join(folder, "absent/lock"))).rejects.toMatchObject({ code: "image_missing" });
});
