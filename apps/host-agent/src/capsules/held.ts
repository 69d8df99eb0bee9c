import type { JournalContents } from "../journal/journal.ts";
import type { HeldLayer } from "../layers/layer-store.ts";
import type { HeldSnapshot } from "../snapshots/snapshot-store.ts";

/** What capsules of an earlier life of the agent hold, as their journals say. */
export interface Held {
  readonly layers: readonly HeldLayer[];
  readonly snapshots: readonly HeldSnapshot[];
  /** Why nothing may be removed that nobody is known to hold: a journal that cannot be read may be its holder's. */
  readonly keepAll: string | undefined;
}

export function heldBy({ records, unreadable }: JournalContents): Held {
  const layers = [...records, ...unreadable].flatMap(({ id, diskPath }) =>
    diskPath === undefined ? [] : [{ path: diskPath, holder: holderOf(id) }],
  );
  return { layers, snapshots: [], keepAll: unreadable.length > 0 ? "journal_unreadable" : undefined };
}

/** As what a capsule holds layers and snapshots. */
export function holderOf(capsuleId: string): string {
  return `capsule:${capsuleId}`;
}
