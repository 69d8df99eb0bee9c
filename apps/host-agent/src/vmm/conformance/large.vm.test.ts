import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { MachineSnapshot } from "../vmm.ts";
import { Bench, digests, drivers, fillBoth } from "./bench.ts";

/** More memory than lies below the devices of a PC, and more than one processor. */
const size = { vcpus: 2, memoryMib: 4096 };

describe.each(drivers)("a large %s machine", (_name, open) => {
  let stack: AsyncDisposableStack;
  let bench: Bench;
  let booted: MachineSnapshot;
  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    bench = await Bench.open(open, stack);
    booted = await bench.boot(size);
  });
  afterEach(() => bench.clear());
  afterAll(() => stack.disposeAsync());

  test("is paused, resumed and forked within bounds that its memory does not set", async () => {
    const guest = await bench.restore("large", booted, size);
    const kept = await fillBoth(guest);
    expect(await guest.machine.dirtyBytes()).toBeLessThan(512 * 1024 * 1024);
    const started = performance.now();
    const resumed = await bench.restore("resumed", await bench.pause(guest), size);
    expect(performance.now() - started).toBeLessThan(20_000);
    expect(await digests(resumed)).toEqual(kept);
    const clone = await bench.restore("clone", await bench.snapshot(resumed), size);
    expect(await digests(clone)).toEqual(kept);
    expect(await digests(resumed)).toEqual(kept);
  });
});
