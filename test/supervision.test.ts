import { readdir, readFile } from "node:fs/promises";
import type { Capsule } from "@wrenn/contracts/rest";
import { expect, test } from "vitest";
import { Api } from "./support/api.ts";
import { processesIn, slotsOf } from "./support/leftovers.ts";
import { machinePid } from "./support/machines.ts";
import { startPlatform } from "./support/platform-process.ts";

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

test("an agent that crashed finds the machines of its earlier life, and their capsules say so", async () => {
  await using stack = new AsyncDisposableStack();
  const platform = await startPlatform(stack);
  const api = new Api(platform);
  const { id } = (await (await api.call("POST", "/v1/capsules", {})).json()) as Capsule;
  const slots = await slotsOf(platform.wrennDir);
  const { agent } = await childrenOf(platform.pid);

  process.kill(agent ?? 0, "SIGKILL");

  await expect.poll(() => machinePid(platform.wrennDir, id), { timeout: 30_000 }).toBeUndefined();
  const status = async () => ((await (await api.call("GET", `/v1/capsules/${id}`)).json()) as Capsule).status;
  await expect.poll(status, { timeout: 30_000 }).toBe("error");
  await expect
    .poll(async () => (await slotsOf(platform.wrennDir)).length, { timeout: 30_000 })
    .toBeLessThanOrEqual(slots.length);
});

test("a supervisor that is killed takes its daemons and their machines with it", async () => {
  const owned = new AsyncDisposableStack();
  const platform = await startPlatform(owned);
  expect((await new Api(platform).call("POST", "/v1/capsules", {})).status).toBe(201);

  process.kill(platform.pid, "SIGKILL");

  await expect.poll(() => processesIn(platform.wrennDir), { timeout: 90_000, interval: 250 }).toEqual([]);
  expect(await slotsOf(platform.wrennDir)).toEqual([]);
  // The stack's Ctrl-C finds no process any more, and says so; its directory goes all the same.
  await expect(owned.disposeAsync()).rejects.toThrow("ended with code null");
});
