import { expect } from "vitest";
import { restingState } from "./agent-state.ts";
import { Followed } from "./followed.ts";
import { binaryWire, type Guest, jsonWire } from "./guest.ts";

/** At once; each is a process of the guest's. */
const lanes = 8;
/** What the heap may have gained, for pieces that the allocator keeps to use again. */
const toleranceKib = 512;
/** Promise of docs/guest-agent.md. */
const rssLimitKib = 8 * 1024;

/**
 * Runs short processes to their ends, some at a time, in both codecs, and has the agent end where it began: as many
 * descriptors and threads, and as much memory.
 *
 * @param warmUp how many to begin with: what is kept of processes that have ended has a bound, which the default fills.
 */
export async function soak(guest: Guest, count: number, warmUp = 1_100): Promise<void> {
  await runMany(guest, warmUp);
  const before = await restingState(guest);
  await runMany(guest, count);
  const { rssKib, ...after } = await restingState(guest);
  expect({ ...after, rssKib: before.rssKib }).toEqual(before);
  if (!guest.options.shipped) return; // Its code alone is memory of another size.
  expect(rssKib).toBeLessThanOrEqual(before.rssKib + toleranceKib);
  expect(rssKib).toBeLessThanOrEqual(rssLimitKib);
}

async function runMany(guest: Guest, count: number): Promise<void> {
  let next = 0;
  const lane = async (index: number): Promise<void> => {
    const { processes } = guest.as({ wire: index % 2 ? jsonWire : binaryWire });
    for (let number = next++; number < count; number = next++) {
      const args = ["-c", `echo out ${number}; echo err ${number} >&2; exit ${number % 7}`];
      const followed = new Followed(processes.start({ process: { cmd: "/bin/sh", args }, stdin: false }));
      expect((await followed.ended).exitCode).toBe(number % 7);
      expect(followed.text("stdout")).toBe(`out ${number}\n`);
      expect(followed.text("stderr")).toBe(`err ${number}\n`);
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, index) => lane(index)));
}
