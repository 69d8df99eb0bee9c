import { beforeEach, describe, expect, test } from "vitest";
import { FakeTimers } from "../testing/fake-timers.ts";
import { TimeKeeper } from "./time-keeper.ts";
import { noTimeRules, type TimeoutReason, type TimeRules } from "./time-rules.ts";

let timers: FakeTimers;
let acted: { reason: TimeoutReason; at: number }[];
/** What acting does to the capsule: by default it is stopped. */
let outcome: (keeper: TimeKeeper) => Promise<void>;

beforeEach(() => {
  timers = new FakeTimers();
  acted = [];
  outcome = async (keeper) => keeper.stop();
});

function keep(rules: Partial<TimeRules>, ranMs = 0): TimeKeeper {
  const keeper: TimeKeeper = new TimeKeeper({
    rules: { ...noTimeRules, ...rules },
    ranMs,
    timers,
    act: async (reason) => {
      acted.push({ reason, at: timers.now() });
      await outcome(keeper);
    },
  });
  return keeper;
}

describe("an idle timeout", () => {
  test("ends when nobody used the capsule for so long", async () => {
    keep({ idleTimeoutSec: 10 }).start();
    await timers.pass(9_999);
    expect(acted).toEqual([]);
    await timers.pass(1);
    expect(acted).toEqual([{ reason: "idle_timeout", at: 10_000 }]);
    expect(timers.count).toBe(0);
  });

  test("begins anew with each use, which sets no timer", async () => {
    const keeper = keep({ idleTimeoutSec: 10 });
    keeper.start();
    for (let i = 0; i < 100; i++) {
      await timers.pass(1_000);
      keeper.touch();
      expect(timers.count).toBe(1);
    }
    expect(acted).toEqual([]);
    await timers.pass(10_000);
    expect(acted).toEqual([{ reason: "idle_timeout", at: 110_000 }]);
  });

  test("stands still while a stream is open, and begins when the last one is closed", async () => {
    const keeper = keep({ idleTimeoutSec: 10 });
    keeper.start();
    await timers.pass(5_000);
    const [one, other] = [keeper.use(), keeper.use()];
    await timers.pass(100_000);
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    await timers.pass(100_000);
    expect(acted).toEqual([]);
    other[Symbol.dispose]();
    await timers.pass(9_999);
    expect(acted).toEqual([]);
    await timers.pass(1);
    expect(acted).toEqual([{ reason: "idle_timeout", at: 215_000 }]);
  });

  test("does not count what was before a pause", async () => {
    const keeper = keep({ idleTimeoutSec: 10 });
    keeper.start();
    await timers.pass(9_000);
    keeper.stop();
    await timers.pass(50_000);
    expect(acted).toEqual([]);
    keeper.start();
    await timers.pass(9_999);
    expect(acted).toEqual([]);
    await timers.pass(1);
    expect(acted).toHaveLength(1);
  });
});

describe("the longest run time", () => {
  test("ends whatever the capsule is used for", async () => {
    const keeper = keep({ idleTimeoutSec: 5, maxRunSec: 60 });
    keeper.start();
    using _ = keeper.use();
    await timers.pass(60_000);
    expect(acted).toEqual([{ reason: "max_run_time", at: 60_000 }]);
  });

  test("counts what was before a pause, and not the pause", async () => {
    const keeper = keep({ maxRunSec: 60 });
    keeper.start();
    await timers.pass(40_000);
    keeper.stop();
    await timers.pass(3_600_000);
    expect(keeper.ranMs).toBe(40_000);
    keeper.start();
    await timers.pass(19_999);
    expect(acted).toEqual([]);
    await timers.pass(1);
    expect(acted).toHaveLength(1);
  });

  test("counts what was before a restart of the agent", async () => {
    keep({ maxRunSec: 60 }, 59_000).start();
    await timers.pass(1_000);
    expect(acted).toEqual([{ reason: "max_run_time", at: 1_000 }]);
  });

  test("is counted anew after the pause that it caused", async () => {
    const keeper = keep({ maxRunSec: 60 });
    outcome = async () => keeper.stop(0);
    keeper.start();
    await timers.pass(60_000);
    keeper.start();
    await timers.pass(59_999);
    expect(acted).toHaveLength(1);
    await timers.pass(1);
    expect(acted).toHaveLength(2);
  });
});

describe("rules that change", () => {
  test("hold at once: shorter, longer, none", async () => {
    const keeper = keep({ idleTimeoutSec: 1_000 });
    keeper.start();
    await timers.pass(500_000);
    keeper.rules = { ...noTimeRules, idleTimeoutSec: 100 };
    await timers.pass(0);
    expect(acted).toEqual([{ reason: "idle_timeout", at: 500_000 }]);

    keeper.start();
    keeper.rules = { ...noTimeRules, idleTimeoutSec: 200 };
    await timers.pass(150_000);
    keeper.rules = noTimeRules;
    await timers.pass(10_000_000);
    expect(acted).toHaveLength(1);
    expect(timers.count).toBe(0);
  });

  test("of a paused capsule start no timer", async () => {
    const keeper = keep({});
    keeper.rules = { ...noTimeRules, idleTimeoutSec: 1 };
    expect(timers.count).toBe(0);
    await timers.pass(10_000);
    expect(acted).toEqual([]);
  });
});

describe("an action", () => {
  test("that fails is tried again, later each time, and never more often than every five minutes at last", async () => {
    outcome = async () => {
      throw new Error("the disk is full");
    };
    keep({ idleTimeoutSec: 10 }).start();
    await timers.pass(3_600_000);
    const waits = acted.slice(1).map(({ at }, i) => at - (acted[i]?.at ?? 0));
    expect(waits.slice(0, 8)).toEqual([5, 10, 20, 40, 80, 160, 300, 300].map((sec) => sec * 1000));
  });

  test("that failed is not tried while the capsule is used again, and then without haste", async () => {
    const keeper = keep({ idleTimeoutSec: 10 });
    outcome = async () => {
      throw new Error("no room");
    };
    keeper.start();
    await timers.pass(10_000);
    keeper.touch();
    await timers.pass(9_999);
    expect(acted).toHaveLength(1);
    await timers.pass(1);
    expect(acted).toEqual([10_000, 20_000].map((at) => ({ reason: "idle_timeout", at })));
  });

  test("that finds the capsule in use does nothing, and the time goes on from there", async () => {
    const keeper = keep({ idleTimeoutSec: 10 });
    outcome = async () => {
      keeper.touch();
      expect(keeper.due).toBeUndefined();
    };
    keeper.start();
    await timers.pass(10_000);
    outcome = async () => keeper.stop();
    await timers.pass(10_000);
    expect(acted.map(({ at }) => at)).toEqual([10_000, 20_000]);
  });

  test("under way is not begun again, whatever happens meanwhile", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const keeper = keep({ idleTimeoutSec: 10 });
    outcome = () => promise;
    keeper.start();
    await timers.pass(10_000);
    keeper.rules = { ...noTimeRules, idleTimeoutSec: 1 };
    await timers.pass(60_000);
    expect(acted).toHaveLength(1);
    keeper.stop();
    resolve();
    await timers.pass(60_000);
    expect(acted).toHaveLength(1);
  });
});

test("one that is disposed of has no timer", async () => {
  const keeper = keep({ idleTimeoutSec: 10 });
  keeper.start();
  keeper[Symbol.dispose]();
  expect(timers.count).toBe(0);
  keeper.start();
  keeper.rules = { ...noTimeRules, maxRunSec: 1 };
  expect(timers.count).toBe(0);
});
