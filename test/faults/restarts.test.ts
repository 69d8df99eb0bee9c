import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { newId } from "@wrenn/contracts";
import type { Capsule } from "@wrenn/contracts/rest";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Deployment } from "../support/deployment.ts";
import { disagreements, heldOnHost, startIdle } from "../support/host-state.ts";
import { machinePid } from "../support/machines.ts";

const run = promisify(execFile);
const poll = { timeout: 60_000, interval: 100 };

const stack = new AsyncDisposableStack();
let deployment: Deployment;
let idle: readonly string[];

beforeAll(async () => {
  ({ deployment, idle } = await startIdle(stack));
});
afterAll(() => stack.disposeAsync());

async function stateOf(id: string): Promise<Capsule> {
  return (await (await deployment.api.call("GET", `/v1/capsules/${id}`)).json()) as Capsule;
}

describe("capsules outlive their agent", () => {
  test.each(["SIGKILL", "SIGTERM"] as const)(
    "after %s they are the same machines, and are served again within 2 s",
    async (signal) => {
      await using capsules = new AsyncDisposableStack();
      const { id } = await deployment.api.capsule(capsules);
      await deployment.api.shell(id, "echo kept >/dev/shm/memory; sleep 1000 >/dev/null 2>&1 &");
      const pid = await machinePid(deployment.wrennDir, id);
      const servedMs: number[] = [];
      for (let i = 0; i < 3; i++) {
        await deployment.killAgent(signal);
        expect(await machinePid(deployment.wrennDir, id)).toBe(pid);
        const started = performance.now();
        await deployment.startAgent();
        const { stdout } = await deployment.api.shell(id, "cat /dev/shm/memory; pgrep -c -x sleep");
        servedMs.push(performance.now() - started);
        expect(stdout).toBe("kept\n1\n");
      }
      // What else the machine does only adds to it.
      expect(Math.min(...servedMs)).toBeLessThan(2_000);
      expect(await machinePid(deployment.wrennDir, id)).toBe(pid);
      expect(await stateOf(id)).toMatchObject({ state: "running" });
    },
  );

  test("one that ends while no agent runs is in error when there is one again, and can be destroyed", async () => {
    const { id } = await deployment.api.capsule(new AsyncDisposableStack());
    await deployment.killAgent();
    process.kill((await machinePid(deployment.wrennDir, id)) ?? 0, "SIGKILL");
    await deployment.startAgent();
    await expect.poll(async () => (await stateOf(id)).state, poll).toBe("error");
    expect(await stateOf(id)).toMatchObject({ reason: "vmm_exited" });
    expect((await deployment.api.call("DELETE", `/v1/capsules/${id}`)).status).toBe(204);
    await expect.poll(() => heldOnHost(deployment), poll).toEqual(idle);
  });

  test("one that ends while its adopter runs is noticed at once", async () => {
    const { id } = await deployment.api.capsule(new AsyncDisposableStack());
    await deployment.killAgent();
    await deployment.startAgent();
    process.kill((await machinePid(deployment.wrennDir, id)) ?? 0, "SIGKILL");
    await expect.poll(async () => (await stateOf(id)).reason, { timeout: 5_000 }).toBe("vmm_exited");
    await deployment.api.call("DELETE", `/v1/capsules/${id}`);
  });
});

test("what no capsule owns is found and removed when the agent starts", async () => {
  await deployment.killAgent();
  const { wrennDir } = deployment;
  await writeFile(join(wrennDir, "layers", `${newId("disk")}.qcow2`), "");
  await mkdir(join(wrennDir, "machines", newId("disk")));
  await mkdir(join(wrennDir, "snapshots", "boot-x.partial-y"));
  await writeFile(join(wrennDir, "journal", `${newId("capsule")}.journal.00112233aabb.tmp`), "");
  await writeFile("/run/wrenn/slots/.0011223344556677", wrennDir);
  // Far from those that are handed out, and nobody else's.
  const index = randomInt(16_384, 32_768);
  await writeFile(`/run/wrenn/slots/${index}`, wrennDir, { flag: "wx" });
  await run("ip", ["netns", "add", `wrenn-${index}`]);
  const stray = execFile("nsenter", [`--net=/run/netns/wrenn-${index}`, "--", "sleep", "600"]);
  const strayEnded = once(stray, "exit");

  await deployment.startAgent();

  await strayEnded;
  await expect.poll(() => heldOnHost(deployment), poll).toEqual(idle);
  const namespaces = async () => await readdir("/run/netns");
  await expect.poll(namespaces, poll).not.toContain(`wrenn-${index}`);
});

describe("creates under way are settled when", () => {
  const kills: [string, () => Promise<void>][] = [
    [
      "the control plane is killed and started again",
      async () => {
        await deployment.killControlPlane();
        await deployment.startControlPlane();
      },
    ],
    [
      "PostgreSQL is killed and started again",
      async () => {
        await deployment.killPostgres();
        await deployment.startPostgres();
      },
    ],
  ];
  test.each(kills)("%s", async (_name, killAndStart) => {
    const known = new Set(await listedIds());
    const creates = Array.from({ length: 6 }, () =>
      deployment.api.call("POST", "/v1/capsules", {}).then(
        ({ status }) => status,
        () => 0,
      ),
    );
    // Some have been made by then, some not.
    await Promise.race(creates);
    await killAndStart();
    await Promise.all(creates);
    const ids = async () => (await listedIds()).filter((id) => !known.has(id));
    await expect.poll(async () => await disagreements(deployment, await ids()), poll).toEqual([]);
    for (const id of await ids()) {
      expect((await deployment.api.call("DELETE", `/v1/capsules/${id}`)).status).toBe(204);
    }
    await expect.poll(() => heldOnHost(deployment), poll).toEqual(idle);
  });

  async function listedIds(): Promise<string[]> {
    const response = await deployment.api.call("GET", "/v1/capsules");
    return ((await response.json()) as Capsule[]).map(({ id }) => id);
  }
});
