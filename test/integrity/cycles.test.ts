import { inject, test } from "vitest";
import { Api } from "../support/api.ts";
import "../support/provided.ts";
import { pauseAndResume } from "./support/cycles.ts";

test("20 pauses and resumes change nothing in memory, on the disk, or of a process", async () => {
  await pauseAndResume(new Api(inject("platform")), 20);
});
