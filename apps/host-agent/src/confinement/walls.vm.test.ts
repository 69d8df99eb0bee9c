import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Duplex, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { maxSlots } from "../network/addresses.ts";
import { type NetworkSlot, slotOf } from "../network/slot.ts";
import { findProcesses } from "../processes/find.ts";
import { sandbox } from "../vmm/qemu/command-line.ts";
import { QmpClient } from "../vmm/qemu/qmp-client.ts";
import type { Command } from "./confine.ts";
import { Walls } from "./walls.ts";

const { signal } = new AbortController();
/** No agent takes the last indexes as long as there are others. The host's network will do here. */
let index = maxSlots;
let slot: NetworkSlot;
const size = { vcpus: 1, memoryMib: 256 };
const fileBytes = 1024 * 1024;

let stack: AsyncDisposableStack;
let walls: Walls;
beforeEach(async () => {
  stack = new AsyncDisposableStack();
  walls = stack.use(await Walls.open({ instance: `walls-${process.pid}` }, signal));
  slot = { ...slotOf(--index), namespacePath: "/proc/self/ns/net" };
});
afterEach(() => stack.disposeAsync());

async function pidsOf(uid: number): Promise<number[]> {
  return (await findProcesses({ uid })).map(({ pid }) => pid);
}

async function confined(file: string, ...args: string[]): Promise<Command> {
  return await walls.confine({ file, args }, slot, size, fileBytes);
}

/** Starts a QEMU without a machine whose monitor is descriptor 3, tells it to run a program, and waits for its end. */
async function toldToSpawn(options: string[]): Promise<{ stderr: string; signalName: string | null }> {
  const monitor = ["-chardev", "socket,id=m,fd=3", "-mon", "chardev=m,mode=control"];
  const qemu = ["-M", "none", "-nodefaults", "-display", "none", ...monitor, ...options];
  const { file, args } = await confined("qemu-system-x86_64", ...qemu);
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe", "pipe"] }) as ChildProcessByStdio<
    null,
    null,
    Readable
  >;
  const exited = once(child, "exit") as Promise<[number | null, string | null]>;
  const stderr = text(child.stderr);
  const client = await QmpClient.open(child.stdio[3] as unknown as Duplex);
  await client.execute("migrate", { uri: "exec:echo a program ran >&2" }).catch(() => {});
  await client.execute("quit").catch(() => {});
  const [, signalName] = await exited;
  return { stderr: await stderr, signalName };
}

test("a monitor that is made to start a program ends instead", async () => {
  expect(await toldToSpawn([])).toMatchObject({ stderr: expect.stringContaining("a program ran") });
  expect(await toldToSpawn(["-sandbox", sandbox])).toEqual({ stderr: "", signalName: "SIGSYS" });
});

test("what is started is the program itself, found by its user", async () => {
  const { file, args } = await confined("cat");
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  child.stdin.write("x");
  await once(child.stdout, "data");
  expect(await pidsOf(slot.uid)).toEqual([child.pid]);
  child.stdin.end();
  expect(await once(child, "exit")).toEqual([0, null]);
  expect(await pidsOf(slot.uid)).toEqual([]);
});

test("walls of an earlier life hold what is in them, and new ones do not disturb it", async () => {
  const earlier = stack.use(await Walls.open({ instance: `walls-earlier-${process.pid}` }, signal));
  const { file, args } = await earlier.confine(
    { file: "sh", args: ["-c", "read x; ls /"] },
    slot,
    size,
    fileBytes,
  );
  const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  stack.defer(() => void child.kill("SIGKILL"));
  const output = text(child.stdout);
  await expect.poll(() => pidsOf(slot.uid)).toEqual([child.pid]);
  await earlier[Symbol.asyncDispose]();
  child.stdin.end("\n");
  expect((await output).split("\n")).toEqual(expect.arrayContaining(["dev", "proc", "usr"]));
  expect(await output).not.toContain("root");
});

test("a file that is handed over can be opened by the one machine, as long as it is", async () => {
  const dir = await mkdtemp(join(tmpdir(), "wrenn-walls-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const handoverDir = join(dir, "handover");
  const open = stack.use(await Walls.open({ instance: `walls-open-${process.pid}`, handoverDir }, signal));
  const run = async (place: NetworkSlot, line: string) => {
    const { file, args } = await open.confine({ file: "sh", args: ["-c", line] }, place, size, fileBytes);
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
    const [stdout, stderr] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close"),
    ]);
    return stdout + stderr;
  };
  const path = join(dir, "layer");
  await writeFile(path, "contents\n", { mode: 0o600 });
  const other = { ...slotOf(--index), namespacePath: "/proc/self/ns/net" };
  {
    await using handed = await open.handOver(path, slot, "read");
    expect(await run(slot, `cat ${handed.path}`)).toBe("contents\n");
    expect(await run(slot, `echo more >> ${handed.path}`)).toMatch(/Permission denied/);
    expect(await run(other, `cat ${handed.path}`)).toMatch(/Permission denied/);
    expect(await run(slot, `ls ${dirname(handed.path)}`)).toMatch(/Permission denied/);
    expect(await run(slot, `: > ${dirname(handed.path)}/new; ln ${handed.path} /handover/x`)).not.toMatch(
      /^$/,
    );
  }
  await using handed = await open.handOver(path, slot, "write");
  expect(await run(slot, `echo more >> ${handed.path}; cat ${handed.path}`)).toBe("contents\nmore\n");
  await handed[Symbol.asyncDispose]();
  expect(await run(slot, `cat ${handed.path}`)).toMatch(/No such file/);
  expect(await readdir(handoverDir)).toEqual([]);
  expect(await stat(path)).toMatchObject({ uid: 0, gid: 0, nlink: 1 });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});
