import { randomInt } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Deployment } from "../support/deployment.ts";
import { heldOnHost, startIdle } from "../support/host-state.ts";
import { Client } from "./client.ts";
import { Disturbances } from "./disturbances.ts";
import { Killer } from "./kills.ts";
import { Model } from "./model.ts";
import { capsuleMemoryMib } from "./operations/make.ts";
import { reportOf } from "./report.ts";
import { type Chaos, runRound } from "./run-round.ts";
import { planRounds } from "./schedule.ts";

/** The part in `make test` does the same every time; `make chaos` something new, unless it is told the seed. */
const { WRENN_CHAOS_SEED: givenSeed, WRENN_CHAOS_OPERATIONS: givenOperations } = process.env;
const seed = Number(givenSeed ?? (givenOperations === undefined ? 5 : randomInt(1, 1_000_000)));
const operations = Number(givenOperations ?? 72);
const rounds = planRounds(seed, operations);
process.stdout.write(`chaos: ${operations} operations, WRENN_CHAOS_SEED=${seed}\n`);

const stack = new AsyncDisposableStack();
let deployment: Deployment;
let idle: readonly string[];
let chaos: Chaos;

beforeAll(async () => {
  ({ deployment, idle } = await startIdle(stack, { memory_mb: capsuleMemoryMib }));
  const disturbances = new Disturbances();
  const client = new Client(() => deployment.api, new Model(), disturbances);
  const killer = new Killer(deployment, client, disturbances);
  chaos = { deployment, client, killer, disturbances };
});
afterAll(() => stack.disposeAsync());

describe(`nothing is ever lost, whatever is killed (seed ${seed})`, () => {
  for (const round of rounds) {
    const count = round.clients.reduce((sum, { length }) => sum + length, 0);
    const kills = round.kills.map(({ kind }) => kind).join(", ") || "nothing";
    test(`round ${round.number}: ${count} operations; killed: ${kills}`, async ({ skip }) => {
      const { model } = chaos.client;
      if (model.violations.length > 0) skip("an earlier round has failed");
      await runRound(chaos, round, round === rounds.at(-1));
      if (model.violations.length > 0) throw new Error(await reportOf(deployment, model, seed));
    }, 600_000);
  }

  test("destroying everything leaves nothing", async ({ skip }) => {
    const { model } = chaos.client;
    if (model.violations.length > 0) skip("an earlier round has failed");
    for (const { id } of model.live()) {
      expect((await deployment.api.call("DELETE", `/v1/capsules/${id}`)).status).toBe(204);
    }
    for (const { name } of model.snapshots.values()) {
      const path = `/v1/snapshots/${name}?force=true`;
      expect((await deployment.api.call("DELETE", path)).status).toBeOneOf([204, 404]);
    }
    await expect.poll(() => heldOnHost(deployment), { timeout: 60_000, interval: 100 }).toEqual(idle);
  });
});
