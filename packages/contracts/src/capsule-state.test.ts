import { describe, expect, test } from "vitest";
import {
  canBecome,
  canTransition,
  capsuleStates,
  capsuleTransitions,
  statesBefore,
  statusOf,
} from "./capsule-state.ts";

describe("the capsule state table", () => {
  test("reaches every state from pending", () => {
    const reached = new Set(["pending"]);
    for (const state of reached) {
      for (const next of capsuleTransitions[state as keyof typeof capsuleTransitions]) reached.add(next);
    }
    expect([...reached].sort()).toEqual([...capsuleStates].sort());
  });

  test("lets every state but stopped be stopped", () => {
    for (const state of capsuleStates) {
      const expected = state !== "stopped" && state !== "stopping";
      expect(canTransition(state, "stopping"), state).toBe(expected);
    }
    expect(capsuleTransitions.stopping).toEqual(["stopped"]);
    expect(capsuleTransitions.stopped).toEqual([]);
  });

  test("names the states before a state as the inverse of its transitions", () => {
    expect(statesBefore("running")).toEqual(["starting", "pausing", "resuming", "snapshotting"]);
    expect(statesBefore("pending")).toEqual([]);
  });

  test("knows what a capsule may have become over several steps, and that nothing comes back from stopped", () => {
    expect(canBecome("running", "hibernated")).toBe(true);
    expect(canBecome("paused", "running")).toBe(true);
    expect(canBecome("running", "pending")).toBe(false);
    expect(capsuleStates.filter((state) => canBecome("stopped", state))).toEqual(["stopped"]);
  });

  test("never calls something stopped that can be resumed", () => {
    const stopped = capsuleStates.filter((state) => statusOf(state) === "stopped");
    expect(stopped.filter((state) => canTransition(state, "resuming"))).toEqual([]);
  });
});
