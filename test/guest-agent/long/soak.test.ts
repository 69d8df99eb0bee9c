import { test } from "vitest";
import { soak } from "../support/soak.ts";
import { eachTarget } from "../support/targets.ts";

eachTarget((guest) => {
  test("after 10 000 short processes the agent holds what it held before", async () => {
    await soak(guest(), 10_000);
  });
});
