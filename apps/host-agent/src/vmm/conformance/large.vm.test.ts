import { describe, expect, test } from "vitest";
import { digests, drivers, fillBoth } from "./bench.ts";
import { bootedBench } from "./booted.ts";

/** More memory than lies below the devices of a PC, and more than one processor. */
const size = { vcpus: 2, memoryMib: 4096 };

describe.each(drivers)("a large %s machine", (_name, open) => {
  const at = bootedBench(open, size);

  test("is paused, resumed and forked within bounds that its memory does not set", async () => {
    const guest = await at.bench.restore("large", at.booted, size);
    const kept = await fillBoth(guest);
    expect(await guest.machine.dirtyBytes()).toBeLessThan(512 * 1024 * 1024);
    const started = performance.now();
    const resumed = await at.bench.restore("resumed", await at.bench.pause(guest), size);
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(await digests(resumed)).toEqual(kept);
    const clone = await at.bench.restore("clone", await at.bench.snapshot(resumed), size);
    expect(await digests(clone)).toEqual(kept);
    expect(await digests(resumed)).toEqual(kept);
  });
});
