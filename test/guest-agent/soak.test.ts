import { test } from "vitest";
import { soak } from "./support/soak.ts";
import { eachTarget } from "./support/targets.ts";

eachTarget((guest) => {
  test("after 1 000 short processes the agent holds what it held before", async () => {
    await soak(guest(), 1_000);
  });
}, "bare");

// A capsule may be emulated: the long suite has more.
eachTarget((guest) => {
  test("after short processes the agent of a capsule holds what it held before", async () => {
    await soak(guest(), 200, 200);
  });
}, "capsule");
