import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Capsule } from "@wrenn/contracts/rest";
import { Deployment } from "./deployment.ts";
import { processesIn, slotsOf } from "./leftovers.ts";
import { machinePid } from "./machines.ts";

/** Slots that an agent makes ahead. */
const readySlots = 4;

/** A deployment whose template is booted in the size of one capsule, and what is on its host when no capsule is. It ends with the stack. */
export async function startIdle(
  stack: AsyncDisposableStack,
  capsule: Record<string, unknown> = {},
): Promise<{ deployment: Deployment; idle: readonly string[] }> {
  const deployment = await Deployment.start(stack);
  const { id } = await deployment.api.capsule(new AsyncDisposableStack(), capsule);
  await deployment.api.call("DELETE", `/v1/capsules/${id}`);
  return { deployment, idle: await heldOnHost(deployment) };
}

/** Everything of capsules on a host, by name: journals, run directories, layers, machines; and slots beyond those ready. */
export async function heldOnHost({ wrennDir }: Deployment): Promise<string[]> {
  const held: string[] = [];
  for (const dir of ["journal", "machines", "layers"]) {
    for (const name of await readdir(join(wrennDir, dir))) held.push(`${dir}/${name}`);
  }
  const machines = (await processesIn(join(wrennDir, "machines"))).map((text) =>
    text.split(" ", 2).join(" "),
  );
  const slots = (await slotsOf(wrennDir)).filter((name) => name.startsWith("slot "));
  return [...held.sort(), ...machines, ...slots.slice(readySlots)];
}

/** Capsules that the control plane says run and that do not, or the other way round; and those not yet decided. */
export async function disagreements(deployment: Deployment, ids: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const id of ids) {
    const { state } = (await (await deployment.api.call("GET", `/v1/capsules/${id}`)).json()) as Capsule;
    const runs = (await machinePid(deployment.wrennDir, id)) !== undefined;
    const decided = state === "running" || state === "error" || state === "stopped";
    if (!decided || (state === "running") !== runs) found.push(`${id} is ${state}, runs: ${runs}`);
  }
  return found;
}
