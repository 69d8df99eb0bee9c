import { expect } from "vitest";
import type { Api } from "../../support/api.ts";
import { askedAgain, Guest } from "./guest.ts";
import { operate } from "./operate.ts";

const patternMib = 4;

/** After so many cycles the guest writes other patterns. */
const rewrittenEvery = 5;

/** Pauses and resumes a capsule of 512 MiB again and again; memory, disk and processes are what they were. */
export async function pauseAndResume(api: Api, cycles: number): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { id } = await api.capsule(stack, { memory_mb: 512 });
  const guest = new Guest(api, id);
  await guest.prepare(patternMib);
  let kept = await guest.state();
  for (let cycle = 1; cycle <= cycles; cycle += 1) {
    expect(await operate(api, id, "pause")).toMatchObject({ status: "paused", state: "paused" });
    expect(await operate(api, id, "resume")).toMatchObject({ status: "running", state: "running" });
    const state = await guest.state();
    expect(state, `after cycle ${cycle}`).toEqual(askedAgain(kept));
    kept = state;
    if (cycle % rewrittenEvery !== 0) continue;
    await guest.rewrite(patternMib);
    kept = await guest.state();
  }
}
