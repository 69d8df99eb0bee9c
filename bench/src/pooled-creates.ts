import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Api } from "@wrenn/test/support/api";
import { startPlatform } from "@wrenn/test/support/platform-process";
import { timed } from "./statistics.ts";

/** How often it is looked whether a machine waits, and for how long. */
const everyMs = 100;
const longestMs = 60_000;

/**
 * Times creates that find a machine waiting for them, on a platform of their own.
 *
 * @param beside done before each of them.
 * @returns milliseconds of each.
 */
export async function pooledCreates(samples: number, beside: () => Promise<void>): Promise<number[]> {
  await using stack = new AsyncDisposableStack();
  const platform = await startPlatform(stack, { WRENN_POOL_SIZE: "1" });
  const api = new Api(platform);
  const metricsUrl = `http://127.0.0.1:${metricsPort(platform.wrennDir)}/metrics`;
  // The first one boots the template; machines wait from then on.
  await (await create(api)).undo();
  const times: number[] = [];
  for (let i = 0; i < samples; i++) {
    await beside();
    await untilOneWaits(metricsUrl);
    const { ms, undo } = await create(api);
    times.push(ms);
    await undo();
  }
  return times;
}

/** @returns what destroys it again. */
async function create(api: Api): Promise<{ ms: number; undo: () => Promise<void> }> {
  const stack = new AsyncDisposableStack();
  const { ms } = await timed(() => api.capsule(stack));
  return { ms, undo: () => stack.disposeAsync() };
}

async function untilOneWaits(url: string): Promise<void> {
  for (let waited = 0; waited < longestMs; waited += everyMs) {
    const text = await (await fetch(url)).text();
    if (Number(/^wrenn_pool_machines\S* (\d+)/m.exec(text)?.[1] ?? 0) > 0) return;
    await sleep(everyMs);
  }
  throw new Error("no machine waits in the pool");
}

/** The port of the kernel's choice, as the agent has noted it. */
function metricsPort(wrennDir: string): number {
  const log = readFileSync(join(wrennDir, "logs", "wrenn-agent.log"), "utf8");
  for (const line of log.trim().split("\n").reverse()) {
    const { msg, port } = JSON.parse(line);
    if (msg === "metrics are served") return port;
  }
  throw new Error("the agent serves no metrics");
}
