import { rm } from "node:fs/promises";
import type { CapsuleSize } from "@wrenn/contracts";
import type { CapsuleVersions } from "../journal/entry.ts";
import type { SnapshotKind } from "./manifest.ts";

/** What a snapshot that is to be committed consists of, beside the files in the draft's directory. */
export interface SnapshotFacts {
  readonly kind: SnapshotKind;
  /** Who holds it from the moment at which it is there. A template needs nobody. */
  readonly holder?: string | undefined;
  /** Id of the capsule that it is of. */
  readonly capsule: string;
  readonly template: string;
  readonly versions: CapsuleVersions;
  readonly size: CapsuleSize;
  readonly diskBytes: number;
  /** The newest restore that the memory knows of. */
  readonly restoreEpoch: number;
  /** Snapshot that the machine was restored from: the base of its memory and of its disk. */
  readonly source: string;
  /** The machine's own layers, on top of the source's, lowest first. */
  readonly ownLayers: readonly string[];
  /** Opens the guest agent in the memory. */
  readonly token: string;
  /** As the save of the machine answered it. */
  readonly deviceStateSha256: string;
}

/** A snapshot that is not there yet. Disposing of it removes what has come about, unless it was committed. */
export class SnapshotDraft implements AsyncDisposable {
  readonly id: string;
  /** Exists. What a machine is saved to. */
  readonly dir: string;
  readonly #commit: (draft: SnapshotDraft, facts: SnapshotFacts) => Promise<void>;

  /** @param commit makes it a snapshot: complete and on the disk, or not at all. */
  constructor(
    id: string,
    dir: string,
    commit: (draft: SnapshotDraft, facts: SnapshotFacts) => Promise<void>,
  ) {
    this.id = id;
    this.dir = dir;
    this.#commit = commit;
  }

  /** Makes it a snapshot. The rename of its directory is the moment from which it is one, whatever happens. */
  async commit(facts: SnapshotFacts): Promise<void> {
    await this.#commit(this, facts);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
