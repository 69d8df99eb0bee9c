import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { Cgroups } from "./cgroups.ts";
import { enterCgroup } from "./confine.ts";

const opened = await Cgroups.open(`test-${process.pid}`);
afterAll(async () => {
  if (opened instanceof Cgroups) await opened[Symbol.asyncDispose]();
});
const limits = { memoryMib: 64, tasks: 16, cpuWeight: 200 };

test.skipIf(opened instanceof Cgroups)("a host without usable groups says what is missing", () => {
  expect(opened).toMatchObject({ unavailable: expect.stringMatching(/cgroup/) });
});

test.skipIf(!(opened instanceof Cgroups))("a program runs in a group with limits of its own", async () => {
  if (!(opened instanceof Cgroups)) return;
  const dir = await opened.make("machine", limits);
  expect(await readFile(join(dir, "memory.max"), "utf8")).toBe(`${64 * 1024 * 1024}\n`);
  expect(await readFile(join(dir, "pids.max"), "utf8")).toBe("16\n");

  const [file = "", ...args] = [...enterCgroup(dir), "/bin/cat"];
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "ignore"] });
  child.stdin.write("\n");
  await once(child.stdout, "data");
  expect(await readFile(`/proc/${child.pid}/cgroup`, "utf8")).toContain(`/test-${process.pid}/machine\n`);
  await opened.remove("machine");
  expect(await readFile(join(dir, "cgroup.procs"), "utf8")).toBe(`${child.pid}\n`);

  child.stdin.end();
  await once(child, "exit");
  await opened.remove("machine");
  await expect(readFile(join(dir, "cgroup.procs"))).rejects.toMatchObject({ code: "ENOENT" });
});
