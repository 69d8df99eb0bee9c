import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import type { Capsule } from "@wrenn/contracts/rest";
import { expect, test } from "vitest";
import { Api } from "./support/api.ts";
import { leftoversOf } from "./support/leftovers.ts";
import { machinePid } from "./support/machines.ts";
import { startPlatform } from "./support/platform-process.ts";

const poll = { timeout: 60_000, interval: 50 };

/** A port that nobody listens on at the moment. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("creates claim machines that wait, as many as do, and Ctrl-C leaves none", async () => {
  let wrennDir = "";
  {
    await using stack = new AsyncDisposableStack();
    const metrics = `127.0.0.1:${await freePort()}`;
    const platform = await startPlatform(stack, { WRENN_POOL_SIZE: "1", WRENN_HOST_METRICS_ADDR: metrics });
    wrennDir = platform.wrennDir;
    const api = new Api(platform);
    const waiting = async () => {
      const text = await (await fetch(`http://${metrics}/metrics`)).text();
      return Number(/^wrenn_pool_machines (\d+)$/m.exec(text)?.[1]);
    };
    const first = await api.capsule(stack);
    await expect.poll(waiting, poll).toBe(1);

    const claimed = await api.capsule(stack);
    expect(await machinePid(wrennDir, claimed.id)).toBeTypeOf("number");
    const identity = "hostname; cat /etc/machine-id; head -c 16 /dev/urandom | od -An -tx1";
    const [one, two] = await Promise.all([first, claimed].map(({ id }) => api.shell(id, identity)));
    const lines = [one, two].map((result) => result?.stdout.trim().split("\n") ?? []);
    expect(lines[1]?.[0]).toBe(claimed.id);
    for (const i of [0, 1, 2]) expect(lines[0]?.[i], `line ${i}`).not.toBe(lines[1]?.[i]);
    const clock = Number((await api.shell(claimed.id, "date +%s")).stdout);
    expect(Math.abs(clock - Date.now() / 1000)).toBeLessThan(5);

    await api.shell(claimed.id, "echo kept >/dev/shm/memory");
    for (const command of ["pause", "resume"]) {
      expect((await api.call("POST", `/v1/capsules/${claimed.id}/${command}`)).status).toBe(200);
    }
    expect((await api.shell(claimed.id, "cat /dev/shm/memory")).stdout).toBe("kept\n");

    await expect.poll(waiting, poll).toBe(1);
    const burst = await Promise.all(Array.from({ length: 4 }, () => api.capsule(stack)));
    expect(burst.map(({ status }: Capsule) => status)).toEqual(Array(4).fill("running"));
    await expect.poll(waiting, poll).toBe(1);
  }
  expect(await leftoversOf(wrennDir)).toEqual([]);
});
