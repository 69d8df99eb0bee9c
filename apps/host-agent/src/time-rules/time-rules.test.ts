import { describe, expect, test } from "vitest";
import { noTimeRules, timeRulesOf } from "./time-rules.ts";
import { systemTimers } from "./timers.ts";

describe("time rules of a message", () => {
  test("are none when there is none, and pause when no action is named", () => {
    expect(timeRulesOf(undefined)).toEqual(noTimeRules);
    expect(timeRulesOf({ idleTimeoutSec: 5, maxRunSec: 0, action: "" })).toMatchObject({ action: "pause" });
  });

  test("name an action that there is", () => {
    expect(timeRulesOf({ idleTimeoutSec: 5, maxRunSec: 6, action: "destroy" })).toEqual({
      idleTimeoutSec: 5,
      maxRunSec: 6,
      action: "destroy",
    });
    expect(() => timeRulesOf({ idleTimeoutSec: 5, maxRunSec: 6, action: "explode" })).toThrow(
      expect.objectContaining({ code: "invalid_request", field: "on_timeout" }),
    );
  });
});

test("a timer for longer than the system's can be set does not fire at once", async () => {
  let fired = false;
  using _ = systemTimers.after(2 ** 40, () => {
    fired = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(fired).toBe(false);
});
