import { readdir } from "node:fs/promises";
import fc from "fast-check";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { AgentUnderTest } from "./agent-under-test.ts";
import { commands } from "./commands/commands.ts";
import { Expected } from "./expected.ts";
import { HostUnderTest } from "./host-under-test.ts";
import { storageProblems } from "./storage.ts";

/** What the failure of a run says, to run it again: `WRENN_MODEL_SEED=… WRENN_MODEL_PATH=…`. */
const { WRENN_MODEL_SEED: seed, WRENN_MODEL_PATH: path, WRENN_MODEL_RUNS: runs } = process.env;

const numRuns = Number(runs ?? 40);
const stack = new AsyncDisposableStack();
let agent: AgentUnderTest;

beforeAll(() => {
  agent = stack.use(new AgentUnderTest(inject("envdBinary")));
});
afterAll(() => stack.disposeAsync());

test(
  "capsules are what the model says, whatever is done to them and wherever the agent is killed",
  async () => {
    const property = fc.asyncProperty(commands, async (chosen) => {
      await using host = await HostUnderTest.open(agent, inject("imagesDir"));
      const expected = new Expected();
      await fc.asyncModelRun(() => ({ model: expected, real: host }), chosen);
      await expectNothingLeft(expected, host);
    });
    const replayed = seed === undefined ? {} : { seed: Number(seed), ...(path !== undefined && { path }) };
    await fc.assert(property, { numRuns, ...replayed });
  },
  60_000 + numRuns * 2_000,
);

/** When everything is given up, only what was booted is there: a snapshot, and the layer that it stands on. */
async function expectNothingLeft(expected: Expected, host: HostUnderTest): Promise<void> {
  for (const { id, generation } of expected.capsules) {
    await host.agent.command("destroy", { id, generation: generation + 1 });
  }
  for (const id of expected.snapshots.keys()) await host.agent.command("deleteSnapshot", id);
  expect(await host.runDirs()).toEqual([]);
  expect(await host.journals()).toEqual([]);
  await expect.poll(() => storageProblems(host.layout, [])).toEqual([]);
  const { snapshots, layers } = host.layout;
  expect((await readdir(snapshots)).length).toBeLessThanOrEqual(1);
  expect((await readdir(layers)).length).toBeLessThanOrEqual(1);
}
