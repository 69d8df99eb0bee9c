import type { CapsuleState } from "@wrenn/contracts";
import type { CapsuleModel } from "../capsule-model.ts";
import type { Client } from "../client.ts";
import { rulesChoices } from "../rules.ts";
import type { PlannedOperation } from "../schedule.ts";

/** Commands that move a capsule: from where they are legal, and to where. */
export const commands = {
  pause: { from: ["running"], to: "paused" },
  resume: { from: ["paused", "hibernated"], to: "running" },
  hibernate: { from: ["paused"], to: "hibernated" },
} as const satisfies Record<string, { from: readonly CapsuleState[]; to: CapsuleState }>;

/** Tells a capsule to go somewhere. */
export async function command(
  client: Client,
  { name }: PlannedOperation,
  kind: keyof typeof commands,
  capsule: CapsuleModel,
): Promise<void> {
  const { from, to } = commands[kind];
  const legal = from.some((state) => capsule.surely(state));
  // Whatever is answered, from here on it may be done.
  if (capsule.may(...from)) capsule.states.add(to);
  const path = `/v1/capsules/${capsule.id}/${kind}`;
  const { verdict, underWay } = await client.ask(
    { name, method: "POST", path, success: 200, legal },
    capsule,
  );
  if (verdict === "done") capsule.arrived(underWay, to);
}

/** Destroys a capsule, which is legal anywhere. */
export async function destroy(
  client: Client,
  { name }: PlannedOperation,
  capsule: CapsuleModel,
): Promise<void> {
  const path = `/v1/capsules/${capsule.id}`;
  const legal = capsule.presence === "there";
  capsule.presence = "maybe";
  const { verdict } = await client.ask({ name, method: "DELETE", path, success: 204, legal }, capsule);
  if (verdict === "done") capsule.presence = "gone";
}

/** Changes what a capsule may do in time. */
export async function patch(
  client: Client,
  { name, variant }: PlannedOperation,
  capsule: CapsuleModel,
): Promise<void> {
  const rules = rulesChoices[Math.floor(variant * rulesChoices.length)];
  if (!rules) return;
  const legal = capsule.presence === "there";
  capsule.mayHave(rules);
  const path = `/v1/capsules/${capsule.id}`;
  const { verdict, underWay } = await client.ask(
    { name, method: "PATCH", path, body: rules, success: 200, legal },
    capsule,
  );
  if (verdict === "done") capsule.has(underWay, rules);
}

export async function ping(client: Client, { name }: PlannedOperation, capsule: CapsuleModel): Promise<void> {
  const path = `/v1/capsules/${capsule.id}/ping`;
  await client.ask({ name, method: "POST", path, success: 204, legal: capsule.surely("running") }, capsule);
}

export async function get(client: Client, { name }: PlannedOperation, capsule: CapsuleModel): Promise<void> {
  await client.ask({ name, method: "GET", path: `/v1/capsules/${capsule.id}`, success: 200, legal: true });
}
