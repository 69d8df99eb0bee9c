import type { CapsuleModel, Copy } from "./capsule-model.ts";
import type { Request } from "./client.ts";

/** A snapshot that capsules are created from. */
export interface SnapshotModel {
  readonly name: string;
  presence: "there" | "maybe" | "gone";
  /** What its capsules have. Its source may have written more while it was taken. */
  readonly copy: Copy;
}

/** A create or a fork that was not answered: it may have made capsules nobody was told of. */
export interface Unanswered {
  readonly count: number;
  readonly copy: Copy | undefined;
  /** Asked again as it was, with its key, it has to lead to what was made, or else to make it. */
  readonly request: Request;
}

/** What all clients together know. */
export class Model {
  readonly capsules = new Map<string, CapsuleModel>();
  readonly snapshots = new Map<string, SnapshotModel>();
  /** By the name of the operation, which the capsules carry in their metadata. */
  readonly unanswered = new Map<string, Unanswered>();
  /** What is wrong, in the order in which it was found. */
  readonly violations: string[] = [];
  /** What was asked and answered, for whoever has to find out why. */
  readonly history: string[] = [];
  /** Capsules that are being made. */
  coming = 0;

  violated(text: string): void {
    this.violations.push(text);
    this.note(`VIOLATION ${text}`);
  }

  note(text: string): void {
    this.history.push(`${new Date().toISOString().slice(11, 23)} ${text}`);
  }

  /** Capsules that are not gone, in the order of their birth. */
  live(): CapsuleModel[] {
    return [...this.capsules.values()].filter(({ presence }) => presence !== "gone");
  }
}
