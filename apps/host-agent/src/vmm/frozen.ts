export interface FreezeOptions {
  /**
   * Given for a guest that will run on. At this path the next layer of its disk is made; the one that it has written
   * until then never changes again. Its dirty pages are copied to memory. Without it they are read when they are saved.
   */
  readonly nextLayerPath?: string | undefined;
  /** Most memory that the copy may take. */
  readonly maxCopyBytes?: number | undefined;
}

/** Names of what a save makes in its directory, and what becomes of it: `memory` may come later, by a merge. */
export const savedParts = {
  memoryDiff: "memory-diff",
  memory: "memory",
  deviceState: "device-state",
} as const;

export interface SaveOptions {
  /** Exists, and is not a snapshot until its owner commits it. */
  readonly dir: string;
  /** Names the memory image that the machine was restored from; a merge wants the same. */
  readonly baseId: string;
  /** That image: given, the save merges it with the diff while the disk takes the diff, as far as that is soon done. */
  readonly basePath?: string | undefined;
}

export interface SavedState {
  readonly deviceStateSha256: string;
}

/** A guest at one moment. Disposing of it lets the guest go on, unless that or its end has come already. */
export interface Frozen extends AsyncDisposable {
  /** Memory that {@link save} writes. */
  readonly dirtyBytes: number;
  /** The machine's own layers at that moment. With those of its snapshot below they are the disk. */
  readonly ownLayers: readonly string[];
  /** Lets the guest go on. @returns for how long it was stopped, in milliseconds. */
  thaw(): Promise<number>;
  /**
   * Writes diff and device state, synced, and the merged memory, which is not. After a thaw only when the freeze was for
   * a guest that runs on.
   */
  save(options: SaveOptions, signal: AbortSignal): Promise<SavedState>;
  /** Ends the machine. */
  end(): Promise<void>;
}
