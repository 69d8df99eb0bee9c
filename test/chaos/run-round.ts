import { setTimeout as sleep } from "node:timers/promises";
import type { Capsule } from "@wrenn/contracts/rest";
import type { Deployment } from "../support/deployment.ts";
import type { CapsuleModel } from "./capsule-model.ts";
import type { Client } from "./client.ts";
import type { Disturbances } from "./disturbances.ts";
import { compareListed } from "./invariants/capsules.ts";
import { checkIdentities, inspectGuest } from "./invariants/guest.ts";
import { strayOnHost } from "./invariants/host.ts";
import type { Killer } from "./kills.ts";
import { askAgain, startCounting } from "./operations/make.ts";
import { perform } from "./perform.ts";
import { pausesSoon, usualRules } from "./rules.ts";
import type { PlannedKill, PlannedOperation, Round } from "./schedule.ts";
import { settled } from "./settled.ts";

export interface Chaos {
  readonly deployment: Deployment;
  readonly client: Client;
  readonly killer: Killer;
  readonly disturbances: Disturbances;
}

/** One round: clients and kills side by side, then everything is left alone until it is settled, and looked at. */
export async function runRound(chaos: Chaos, round: Round, last: boolean): Promise<void> {
  const begun = new Begun();
  await Promise.all([
    ...round.clients.map((operations) => runClient(chaos.client, operations, begun)),
    runKills(chaos.killer, round.kills, begun),
  ]);
  await chaos.killer.allServe();
  await check(chaos, last);
}

/** Counts operations that have begun; kills happen at a count. */
class Begun {
  #count = 0;
  readonly #waiting = new Set<{ count: number; resolve: () => void }>();

  add(): void {
    this.#count += 1;
    for (const one of this.#waiting) {
      if (one.count > this.#count) continue;
      this.#waiting.delete(one);
      one.resolve();
    }
  }

  async reached(count: number): Promise<void> {
    if (this.#count >= count) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.add({ count, resolve });
    await promise;
  }
}

async function runClient(
  client: Client,
  operations: readonly PlannedOperation[],
  begun: Begun,
): Promise<void> {
  for (const planned of operations) {
    begun.add();
    await perform(client, planned);
  }
}

async function runKills(killer: Killer, kills: readonly PlannedKill[], begun: Begun): Promise<void> {
  for (const planned of kills) {
    await begun.reached(planned.afterOperations);
    await sleep(planned.delayMs);
    await killer.kill(planned);
  }
}

/** Compares database, host and guests with what the clients know. */
async function check(chaos: Chaos, last: boolean): Promise<void> {
  const { client, deployment, disturbances } = chaos;
  const { model } = client;
  if (!(await settle(chaos))) return;
  disturbances.over();
  for (const unanswered of model.unanswered.values()) {
    // Some clients ask again, others never do.
    if (unanswered.request.name.endsWith("1") || unanswered.request.name.endsWith("4")) {
      await askAgain(client, unanswered);
    }
  }
  const capsules = await settle(chaos);
  if (!capsules) return;
  for (const { id } of compareListed(client, capsules))
    await deployment.api.call("DELETE", `/v1/capsules/${id}`);
  for (const [index, capsule] of model.live().entries()) {
    await keepAsItIs(chaos, capsule);
    // Some stay where they are over several rounds.
    if (last || capsule.may("running", "error") || index % 2 === 0) await lookInto(chaos, capsule);
  }
  checkIdentities(model);
  for (const one of await strayOnHost(deployment, model)) model.violated(one);
}

/** The capsules as they are listed when nothing is under way any more; a violation when that does not come. */
async function settle({ client: { model }, deployment }: Chaos): Promise<Capsule[] | undefined> {
  const known = model.live().map(({ id }) => id);
  const { capsules, unsettled } = await settled(deployment, known);
  for (const one of unsettled) model.violated(`not settled: ${one}`);
  return unsettled.length > 0 ? undefined : capsules;
}

/** Without a rule that pauses it soon, a capsule stays where it is while it is looked at. */
async function keepAsItIs({ client, deployment }: Chaos, capsule: CapsuleModel): Promise<void> {
  if (![...capsule.rules.values()].some(pausesSoon)) return;
  const path = `/v1/capsules/${capsule.id}`;
  const request = { name: "check", method: "PATCH", path, body: usualRules, success: 200, legal: true };
  const { underWay } = await client.ask(request, capsule);
  capsule.has(underWay, usualRules);
  const { capsules } = await settled(deployment, []);
  const found = capsules.find(({ id }) => id === capsule.id);
  if (found) capsule.states = new Set([found.state]);
}

/** Makes a capsule run, from its memory or, where that is lost, from its disk; and looks into it. */
async function lookInto({ client, deployment }: Chaos, capsule: CapsuleModel): Promise<void> {
  const path = `/v1/capsules/${capsule.id}/resume`;
  const fromDisk = capsule.may("error");
  const paused = capsule.may("paused", "hibernated");
  capsule.machineKilled = false;
  if (fromDisk || paused) {
    const body = { from: fromDisk ? "disk" : "memory" };
    const request = { name: "check", method: "POST", path, body, success: 200, legal: true };
    const { verdict, underWay } = await client.ask(request, capsule);
    if (verdict !== "done") return;
    capsule.arrived(underWay, "running");
  }
  if (fromDisk) capsule.lostMemory();
  await inspectGuest(deployment.api, client.model, capsule);
  if (!capsule.counter) await startCounting(client, "check", capsule);
}
