import { type CapsuleSize, type CapsuleState, canTransition, WrennError } from "@wrenn/contracts";
import type { GuestAgent } from "../guest/guest-agent.ts";
import type { CapsuleVersions } from "../journal/entry.ts";
import type { Journal } from "../journal/journal.ts";
import type { CapsuleRecord } from "../journal/record.ts";
import type { ChangeLog } from "../reports/change-log.ts";
import type { Machine } from "../vmm/vmm.ts";
import type { Holdings } from "./holdings.ts";
import { toReport } from "./report.ts";

/** What runs for a capsule, and what has to be let go of when it ends. */
export interface CapsuleResources {
  readonly holdings: Holdings;
  /** Absent when nothing runs: what is held is left over. */
  readonly running?: { readonly machine: Machine; readonly guest: GuestAgent };
}

export interface CapsuleRequest {
  readonly id: string;
  /** Names the command in logs of both sides. */
  readonly operation: string;
  readonly generation: number;
  readonly template: string;
  readonly size: CapsuleSize;
}

/** Where every change of a capsule is noted: on disk before it happens, for the control plane after. */
export interface Notebook {
  readonly journal: Journal;
  readonly changes: ChangeLog;
}

/** A capsule as this host knows it. Its state only moves along the capsule state table, and no move is unrecorded. */
export class Capsule {
  readonly request: CapsuleRequest;
  readonly #notebook: Notebook;
  #state: CapsuleState;
  #generation: number;
  #revision: number;
  #reason = "";
  #detail = "";
  #resources: CapsuleResources | undefined;
  #released: Promise<void> = Promise.resolve();
  #versions: CapsuleVersions | undefined;
  #startedAt: string | undefined;

  private constructor(request: CapsuleRequest, notebook: Notebook, state: CapsuleState, revision: number) {
    this.request = request;
    this.#notebook = notebook;
    this.#state = state;
    this.#generation = request.generation;
    this.#revision = revision;
  }

  /** A capsule that is about to be created. */
  static begin(request: CapsuleRequest, notebook: Notebook): Capsule {
    const capsule = new Capsule(request, notebook, "starting", 1);
    const { operation, generation, template, size } = request;
    notebook.journal.write(request.id, { step: "create", operation, generation, template, ...size });
    notebook.changes.record(toReport(capsule));
    return capsule;
  }

  /** A capsule of an earlier life of the agent, in the state that its journal ends with. */
  static recovered(record: CapsuleRecord, resources: CapsuleResources, notebook: Notebook): Capsule {
    const { id, operation, generation, template, vcpus, memoryMib } = record;
    const request = { id, operation, generation, template, size: { vcpus, memoryMib } };
    const capsule = new Capsule(request, notebook, record.state, record.revision);
    capsule.#resources = resources;
    capsule.#versions = record.versions;
    capsule.#startedAt = record.startedAt;
    capsule.#reason = record.reason ?? "";
    capsule.#detail = record.detail ?? "";
    notebook.changes.record(toReport(capsule));
    return capsule;
  }

  get state(): CapsuleState {
    return this.#state;
  }

  /** Of the newest command. */
  get generation(): number {
    return this.#generation;
  }

  /** Machine-readable reason of `error`; empty otherwise. */
  get reason(): string {
    return this.#reason;
  }

  /** For a person, what led to `error`: the VMM's last words. */
  get detail(): string {
    return this.#detail;
  }

  /** Grows with every change that this host observes. */
  get revision(): number {
    return this.#revision;
  }

  /** RFC 3339. */
  get startedAt(): string | undefined {
    return this.#startedAt;
  }

  /** What it runs on, once that is known. */
  get versions(): CapsuleVersions | undefined {
    return this.#versions;
  }

  get machine(): Machine | undefined {
    return this.#resources?.running?.machine;
  }

  /** The guest agent. @throws {WrennError} `invalid_state` unless the capsule runs. */
  get guest(): GuestAgent {
    const running = this.#resources?.running;
    if (this.#state === "running" && running) return running.guest;
    throw new WrennError("invalid_state", `capsule ${this.request.id} is ${this.#state}, not running`);
  }

  /** Takes over what runs for it. */
  run(versions: CapsuleVersions, resources: CapsuleResources): void {
    const startedAt = new Date().toISOString();
    const { journal } = this.#notebook;
    this.#move("running", (id, revision) =>
      journal.write(id, { step: "running", revision, startedAt, versions }),
    );
    this.#versions = versions;
    this.#startedAt = startedAt;
    this.#resources = resources;
    this.#report();
  }

  /** Records why it cannot go on. What it holds stays until {@link release}. */
  fail(reason: string, detail = ""): void {
    const { journal } = this.#notebook;
    this.#move("error", (id, revision) =>
      journal.writeIfPossible(id, { step: "failed", revision, reason, detail }),
    );
    this.#reason = reason;
    this.#detail = detail;
    this.#report();
  }

  /** Begins to end it, unless that has begun already. */
  stop(operation: string, generation: number): void {
    if (!canTransition(this.#state, "stopping")) return;
    const { journal } = this.#notebook;
    this.#move("stopping", (id, revision) =>
      journal.writeIfPossible(id, { step: "destroy", operation, generation, revision }),
    );
    this.#generation = Math.max(this.#generation, generation);
    this.#report();
  }

  /** It is gone: nothing is held for it any more, and from any state that means `stopped`. */
  async forget(reason: string): Promise<void> {
    await this.#notebook.journal.remove(this.request.id);
    this.#state = "stopped";
    this.#reason = reason;
    this.#revision += 1;
    this.#report();
  }

  /** Lets go of machine, network and disk. Whoever calls it again waits for the same. */
  release(): Promise<void> {
    const holdings = this.#resources?.holdings;
    this.#resources = undefined;
    if (holdings) this.#released = holdings[Symbol.asyncDispose]();
    return this.#released;
  }

  /** Lets go of a running capsule without ending it: the next life of the agent takes it over. */
  async detach(): Promise<void> {
    const running = this.#resources?.running;
    this.#resources = undefined;
    running?.machine.detach();
    await running?.guest[Symbol.asyncDispose]();
  }

  #move(to: CapsuleState, note: (id: string, revision: number) => void): void {
    if (!canTransition(this.#state, to)) {
      const sentence = `capsule ${this.request.id} cannot go from ${this.#state} to ${to}`;
      throw new WrennError("invalid_state", sentence);
    }
    note(this.request.id, this.#revision + 1);
    this.#state = to;
    this.#revision += 1;
  }

  #report(): void {
    this.#notebook.changes.record(toReport(this));
  }
}
