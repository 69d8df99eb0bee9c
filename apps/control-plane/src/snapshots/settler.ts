import { repeat } from "../repeat.ts";
import { type SettleSnapshotsParts, settleAbandonedSnapshots } from "./settle.ts";

const everyMs = 5_000;

/** Brings to an end, again and again, what nobody works on any more; see {@link settleAbandonedSnapshots}. */
export function startSnapshotSettler(parts: SettleSnapshotsParts): AsyncDisposable {
  const onFailure = (err: unknown): void =>
    parts.logger.warn({ err }, "abandoned snapshots could not be settled");
  return repeat(everyMs, () => settleAbandonedSnapshots(parts), onFailure);
}
