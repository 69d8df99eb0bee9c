import type { Capsule } from "@wrenn/contracts/rest";
import { CapsuleModel, Copy } from "../capsule-model.ts";
import type { Client, Request } from "../client.ts";
import { startCounter } from "../guest-side.ts";
import type { SnapshotModel, Unanswered } from "../model.ts";
import { type Rules, usualRules } from "../rules.ts";
import type { PlannedOperation } from "../schedule.ts";

/** MiB of each capsule. */
export const capsuleMemoryMib = 256;
/** Most copies of one fork. */
const mostCopies = 3;

/** A capsule of an image, with a process in it that counts. */
export async function create(client: Client, { name, variant }: PlannedOperation): Promise<void> {
  const rules = { ...usualRules, auto_resume: variant < 0.4 };
  const body = { memory_mb: capsuleMemoryMib, auto_resume: rules.auto_resume, metadata: { chaos: name } };
  client.model.coming += 1;
  const path = "/v1/capsules";
  const request: Request = { name, method: "POST", path, body, success: 201, legal: true, key: name };
  const { verdict, answer } = await client.ask(request);
  client.model.coming -= 1;
  if (verdict === "unknown") client.model.unanswered.set(name, { count: 1, copy: undefined, request });
  if (verdict !== "done") return;
  const capsule = addCapsule(client, answer.body as Capsule, name);
  await startCounting(client, name, capsule);
}

/** Has to be done once in the life of a memory; doing it again changes nothing. */
export async function startCounting(client: Client, name: string, capsule: CapsuleModel): Promise<void> {
  const path = `/v1/capsules/${capsule.id}/exec`;
  const body = { cmd: "/bin/sh", args: ["-c", startCounter], user: "root", background: true };
  await client.ask(
    { name, method: "POST", path, body, success: 202, legal: capsule.surely("running") },
    capsule,
  );
}

/** A capsule of a snapshot. */
export async function createFrom(
  client: Client,
  { name }: PlannedOperation,
  snapshot: SnapshotModel,
): Promise<void> {
  const { copy } = snapshot;
  const body = { template: snapshot.name, metadata: { chaos: name } };
  client.model.coming += 1;
  // Somebody may delete it meanwhile.
  const legal = () => snapshot.presence === "there";
  const path = "/v1/capsules";
  const request: Request = { name, method: "POST", path, body, success: 201, legal, key: name };
  const { verdict, answer } = await client.ask(request);
  client.model.coming -= 1;
  if (verdict === "done") addCapsule(client, answer.body as Capsule, name, copy);
  if (verdict === "unknown") client.model.unanswered.set(name, { count: 1, copy, request });
}

/** Copies of a capsule, all or none. */
export async function fork(
  client: Client,
  { name, variant }: PlannedOperation,
  source: CapsuleModel,
  room: number,
): Promise<void> {
  const count = 1 + Math.floor(variant * Math.min(room, mostCopies));
  const copy = new Copy(source);
  client.model.coming += count;
  const path = `/v1/capsules/${source.id}/fork`;
  const body = { count, metadata: { chaos: name } };
  const legal = source.surely("running") || source.surely("paused");
  const request: Request = { name, method: "POST", path, body, success: 201, legal, key: name };
  const { verdict, answer } = await client.ask(request, source);
  client.model.coming -= count;
  if (verdict === "unknown") client.model.unanswered.set(name, { count, copy, request });
  if (verdict !== "done") return;
  copy.taken();
  const copies = answer.body as Capsule[];
  if (copies.length !== count)
    client.model.violated(`${name}: asked for ${count} copies, got ${copies.length}`);
  for (const child of copies) addCapsule(client, child, name, copy);
}

/** Asks once more, with its key, for what was not answered. Nothing is made twice. */
export async function askAgain(client: Client, { request, copy }: Unanswered): Promise<void> {
  const { model } = client;
  const { verdict, answer } = await client.ask({ ...request, legal: false });
  if (verdict !== "done") return;
  model.unanswered.delete(request.name);
  copy?.taken();
  const made = answer.body as Capsule | Capsule[];
  for (const capsule of Array.isArray(made) ? made : [made]) addCapsule(client, capsule, request.name, copy);
}

/** A capsule that clients learn of. */
export function addCapsule(
  { model }: Client,
  { id, state, timeout_sec, max_run_sec, on_timeout, auto_resume }: Capsule,
  origin: string,
  copy?: Copy,
): CapsuleModel {
  const capsule = new CapsuleModel(id, origin, [state]);
  if (copy) capsule.becomes(copy);
  const rules: Rules = { timeout_sec, max_run_sec, on_timeout, auto_resume };
  capsule.mayHave(rules);
  model.capsules.set(id, capsule);
  return capsule;
}
