import { rm } from "node:fs/promises";
import type { CapsuleSize } from "@wrenn/contracts";
import type { CapsuleVersions } from "../journal/entry.ts";
import type { SnapshotKind, SnapshotManifest } from "./manifest.ts";

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

/** What a commit needs beside a manifest. */
export interface CommitTerms extends Pick<SnapshotFacts, "token" | "holder"> {
  /** Layers that have not been waited for to be on the disk. */
  readonly ownLayers?: readonly string[];
}

/** Both make a draft a snapshot: complete and on the disk, or not at all. */
interface Commits {
  readonly commit: (draft: SnapshotDraft, facts: SnapshotFacts) => Promise<void>;
  readonly commitAs: (draft: SnapshotDraft, manifest: SnapshotManifest, terms: CommitTerms) => Promise<void>;
}

/** A snapshot that is not there yet. Disposing of it removes what has come about, unless it was committed. */
export class SnapshotDraft implements AsyncDisposable {
  readonly id: string;
  /** Exists. What a machine is saved to. */
  readonly dir: string;
  readonly #commits: Commits;

  constructor(id: string, dir: string, commits: Commits) {
    this.id = id;
    this.dir = dir;
    this.#commits = commits;
  }

  /**
   * Makes it a snapshot. The rename of its directory is the moment from which it is one, whatever happens. The files of
   * a save are on the disk already, or can be made again.
   */
  async commit(facts: SnapshotFacts): Promise<void> {
    await this.#commits.commit(this, facts);
  }

  /** As {@link commit}, with a manifest that is known. */
  async commitAs(manifest: SnapshotManifest, terms: CommitTerms): Promise<void> {
    await this.#commits.commitAs(this, manifest, terms);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}
