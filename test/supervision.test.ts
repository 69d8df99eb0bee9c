import { readdir, readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { Api } from "./support/api.ts";
import { leftoversOf, processesIn } from "./support/leftovers.ts";
import { machinePid } from "./support/machines.ts";
import { makeWrennDir, startPlatform, startPlatformOn } from "./support/platform-process.ts";

/** What the command lines of the supervised processes contain. */
const daemons = { controlPlane: "control-plane", agent: "host-agent", postgres: "bin/postgres" } as const;
type Daemon = keyof typeof daemons;

/** Pids of the supervisor's children; undefined for one that is not there. */
async function childrenOf(supervisor: number): Promise<Record<Daemon, number | undefined>> {
  const found: Record<Daemon, number | undefined> = {
    controlPlane: undefined,
    agent: undefined,
    postgres: undefined,
  };
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const status = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
    if (!status.includes(`PPid:\t${supervisor}\n`)) continue;
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    for (const [daemon, part] of Object.entries(daemons)) {
      if (commandLine.includes(part)) found[daemon as Daemon] = Number(pid);
    }
  }
  return found;
}

test("a crash of one process restarts that one, and the platform works again", async () => {
  await using stack = new AsyncDisposableStack();
  const platform = await startPlatform(stack);
  const api = new Api(platform);
  const create = async () => await api.call("POST", "/v1/capsules", {});

  for (const daemon of Object.keys(daemons) as Daemon[]) {
    const before = await childrenOf(platform.pid);
    process.kill(before[daemon] ?? 0, "SIGKILL");
    const createStatus = () =>
      create().then(
        ({ status }) => status,
        () => 0,
      );
    await expect.poll(createStatus, { timeout: 60_000, interval: 250 }).toBe(201);
    const after = await childrenOf(platform.pid);
    const restarted = (Object.keys(daemons) as Daemon[]).filter((name) => after[name] !== before[name]);
    expect(restarted).toEqual([daemon]);
  }
});

test("an agent that crashed serves the machines of its earlier life again", async () => {
  await using stack = new AsyncDisposableStack();
  const platform = await startPlatform(stack);
  const api = new Api(platform);
  const { id } = await api.capsule(stack);
  const pid = await machinePid(platform.wrennDir, id);
  const { agent } = await childrenOf(platform.pid);

  process.kill(agent ?? 0, "SIGKILL");

  const exec = async () => (await api.call("POST", `/v1/capsules/${id}/exec`, { cmd: "true" })).status;
  await expect.poll(exec, { timeout: 30_000 }).toBe(200);
  expect(await machinePid(platform.wrennDir, id)).toBe(pid);
});

test("a supervisor that is killed takes its daemons with it, and the next one serves what runs", async () => {
  await using stack = new AsyncDisposableStack();
  const wrennDir = await makeWrennDir(stack);
  const killed = new AsyncDisposableStack();
  const first = await startPlatformOn(wrennDir, killed);
  const { id } = await new Api(first).capsule(new AsyncDisposableStack());
  const pid = await machinePid(wrennDir, id);

  process.kill(first.pid, "SIGKILL");
  const daemons = async () => (await processesIn(wrennDir)).filter((text) => !text.includes(` ${pid} `));
  await expect.poll(daemons, { timeout: 90_000, interval: 250 }).toEqual([]);
  // The stack's Ctrl-C finds no process any more, and says so.
  await expect(killed.disposeAsync()).rejects.toThrow("ended with code null");
  expect(await machinePid(wrennDir, id)).toBe(pid);

  await using second = new AsyncDisposableStack();
  const api = new Api(await startPlatformOn(wrennDir, second));
  expect((await api.exec(id, { cmd: "true" })).exit_code).toBe(0);
  expect(await machinePid(wrennDir, id)).toBe(pid);
  await second.disposeAsync();
  expect((await leftoversOf(wrennDir)).filter((name) => !name.startsWith("layers/"))).toEqual([]);
});

test("Ctrl-C pauses what runs, and the next start has it again, with what it had in memory", async () => {
  await using stack = new AsyncDisposableStack();
  const wrennDir = await makeWrennDir(stack);
  const first = new AsyncDisposableStack();
  const before = new Api(await startPlatformOn(wrennDir, first));
  const { id } = await before.capsule(new AsyncDisposableStack());
  await before.shell(id, "echo kept >/dev/shm/memory");
  await first.disposeAsync();
  expect((await leftoversOf(wrennDir)).filter((name) => !name.startsWith("layers/"))).toEqual([]);

  const api = new Api(await startPlatformOn(wrennDir, stack));
  const capsule = await (await api.call("GET", `/v1/capsules/${id}`)).json();
  expect(capsule).toMatchObject({ state: "paused", reason: "host_drained" });
  expect((await api.call("POST", `/v1/capsules/${id}/resume`)).status).toBe(200);
  expect((await api.shell(id, "cat /dev/shm/memory")).stdout).toBe("kept\n");
});
