import { type CapsuleModel, Copy } from "../capsule-model.ts";
import type { Client } from "../client.ts";
import type { SnapshotModel } from "../model.ts";
import type { PlannedOperation } from "../schedule.ts";

/** Makes a capsule what others can be created from. */
export async function snapshot(
  client: Client,
  { name }: PlannedOperation,
  source: CapsuleModel,
): Promise<void> {
  const copy = new Copy(source);
  const taken: SnapshotModel = { name, presence: "maybe", copy };
  client.model.snapshots.set(name, taken);
  const body = { sandbox_id: source.id, name };
  const legal = source.surely("running") || source.surely("paused");
  const request = { name, method: "POST", path: "/v1/snapshots", body, success: 201, legal };
  const { verdict } = await client.ask(request, source);
  if (verdict === "refused") client.model.snapshots.delete(name);
  if (verdict !== "done") return;
  copy.taken();
  taken.presence = "there";
}

/** Takes one that is there away. What was created from it stays, so that is refused without force while there are such. */
export async function deleteSnapshot(
  client: Client,
  { name, variant }: PlannedOperation,
  snapshot: SnapshotModel,
): Promise<void> {
  const force = variant < 0.7;
  snapshot.presence = "maybe";
  const path = `/v1/snapshots/${snapshot.name}${force ? "?force=true" : ""}`;
  const { verdict } = await client.ask({ name, method: "DELETE", path, success: 204, legal: force });
  if (verdict === "done") snapshot.presence = "gone";
  if (verdict === "refused") snapshot.presence = "there";
}
