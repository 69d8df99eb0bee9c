import { setTimeout as sleep } from "node:timers/promises";
import type { Capsule } from "@wrenn/contracts/rest";
import type { Deployment } from "../support/deployment.ts";
import { machinePid } from "../support/machines.ts";

/** States in which nothing is under way. */
const settledStates: readonly string[] = ["running", "paused", "hibernated", "error", "stopped"];

/** What was killed is noticed, and what was left half done is settled, within this time. */
const patienceMs = 90_000;

/**
 * Waits until no capsule is on its way anywhere, and the database says of each machine whether it is there.
 *
 * @param known ids of capsules that may be on their way out, and are listed no more.
 * @returns the capsules as they are listed then, and what has not settled.
 */
export async function settled(deployment: Deployment, known: readonly string[]): Promise<Settled> {
  const until = performance.now() + patienceMs;
  for (;;) {
    const seen = await look(deployment, known).catch((error: unknown) => ({
      capsules: [],
      unsettled: [String(error)],
    }));
    if (seen.unsettled.length === 0 || performance.now() > until) return seen;
    await sleep(250);
  }
}

export interface Settled {
  readonly capsules: Capsule[];
  /** Sentences; empty when everything has settled. */
  readonly unsettled: string[];
}

async function look({ api, wrennDir }: Deployment, known: readonly string[]): Promise<Settled> {
  const response = await api.call("GET", "/v1/capsules");
  if (response.status !== 200) throw new Error(`the list was answered ${response.status}`);
  const capsules = (await response.json()) as Capsule[];
  const listed = new Set(capsules.map(({ id }) => id));
  const leaving = known
    .filter((id) => !listed.has(id))
    .map(async (id) => (await (await api.call("GET", `/v1/capsules/${id}`)).json()) as Capsule);
  const unsettled: string[] = [];
  for (const { id, state, status, reason } of [...capsules, ...(await Promise.all(leaving))]) {
    const runs = (await machinePid(wrennDir, id)) !== undefined;
    const right = settledStates.includes(state) && status !== "missing" && (state === "running") === runs;
    const why = reason === undefined ? "" : ` (${reason})`;
    if (!right)
      unsettled.push(`${id} is ${status}/${state}${why}, and its machine ${runs ? "runs" : "does not"}`);
  }
  return { capsules, unsettled };
}
