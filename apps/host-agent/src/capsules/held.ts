import type { JournalContents } from "../journal/journal.ts";
import type { CapsuleRecord } from "../journal/record.ts";
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
  const all = [...records, ...unreadable];
  const keepAll = unreadable.length > 0 ? "journal_unreadable" : undefined;
  return { layers: all.flatMap(layersOf), snapshots: all.flatMap(snapshotsOf), keepAll };
}

/** Holds what a capsule is paused to, and what is being taken of it. */
export function capsuleHolder(capsuleId: string): string {
  return `capsule:${capsuleId}`;
}

/** Holds what a capsule's machine was restored from, and the layers of its own. */
export function machineHolder(capsuleId: string): string {
  return `machine:${capsuleId}`;
}

function layersOf({ id, ownLayers }: CapsuleRecord): HeldLayer[] {
  return ownLayers.map((path) => ({ path, holder: machineHolder(id) }));
}

function snapshotsOf({ id, source, snapshot, taking }: CapsuleRecord): HeldSnapshot[] {
  return [
    ...(source === undefined ? [] : [{ id: source, holder: machineHolder(id) }]),
    ...[snapshot, taking].flatMap((held) =>
      held === undefined ? [] : [{ id: held, holder: capsuleHolder(id) }],
    ),
  ];
}
