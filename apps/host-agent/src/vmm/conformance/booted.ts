import type { CapsuleSize } from "@wrenn/contracts";
import { afterAll, afterEach, beforeAll } from "vitest";
import type { MachineSnapshot } from "../vmm.ts";
import { Bench, type OpenVmm } from "./bench.ts";

/** What the tests of a `describe`, or of a file, work with. There from the first test to the last. */
export interface Booted {
  readonly bench: Bench;
  /** A machine of the size, as its boot left it. */
  readonly booted: MachineSnapshot;
}

/** Boots a machine before the tests that follow, and ends after each of them what it has started. */
export function bootedBench(open: OpenVmm, size: CapsuleSize): Booted {
  const stack = new AsyncDisposableStack();
  let made: Booted | undefined;
  const there = (): Booted => {
    if (!made) throw new Error("a bench is there only while tests run");
    return made;
  };
  beforeAll(async () => {
    const bench = await Bench.open(open, stack);
    made = { bench, booted: await bench.boot(size) };
  });
  afterEach(() => made?.bench.clear());
  afterAll(() => stack.disposeAsync());
  return {
    get bench() {
      return there().bench;
    },
    get booted() {
      return there().booted;
    },
  };
}
