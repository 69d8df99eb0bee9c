import { type CapsuleSize, type CapsuleState, canTransition, WrennError } from "@wrenn/contracts";
import type { GuestAgent } from "../guest/guest-agent.ts";
import type { CapsuleVersions, CountedStep, Step } from "../journal/entry.ts";
import type { Journal } from "../journal/journal.ts";
import { type CapsuleRecord, recordAfter, recordOf } from "../journal/record.ts";
import type { ChangeLog } from "../reports/change-log.ts";
import { TimeKeeper } from "../time-rules/time-keeper.ts";
import { noTimeRules, type TimeoutReason, type TimeRules } from "../time-rules/time-rules.ts";
import { systemTimers } from "../time-rules/timers.ts";
import type { Machine } from "../vmm/vmm.ts";
import { Operations } from "./operations.ts";
import { toReport } from "./report.ts";

/** A command of the control plane's, or of this agent's own. */
export interface CapsuleCommand {
  readonly id: string;
  /** Names the command in logs of both sides. */
  readonly operation: string;
  readonly generation: number;
}

export interface CapsuleRequest extends CapsuleCommand {
  readonly template: string;
  readonly size: CapsuleSize;
  /** MiB; 0 or absent for that of what it is made from. */
  readonly diskMib?: number | undefined;
  /** None when absent. */
  readonly timeRules?: TimeRules | undefined;
  /** The operation that makes it as one of several copies. */
  readonly forkOf?: string | undefined;
}

/** The guest of a capsule, which is in use until this is disposed of. */
export interface GuestUse extends Disposable {
  readonly guest: GuestAgent;
}

/** What runs for a capsule. */
export interface RunningMachine {
  readonly machine: Machine;
  readonly guest: GuestAgent;
}

/** Where every change of a capsule is noted: on disk before it happens, for the control plane after. */
export interface Notebook {
  readonly journal: Journal;
  readonly changes: ChangeLog;
}

/** A move without the revision that it makes. */
type Uncounted<S> = S extends CountedStep ? Omit<S, "revision"> : never;

/** A full disk must not stand in the way of these: they are true already, or let go of something. */
const unstoppable = new Set<Step["step"]>([
  ...(["failed", "paused", "hibernated", "went_on", "stayed", "destroy", "release"] as const),
]);

/**
 * A capsule as this host knows it: what its journal says, and what runs for it. Its state only moves along the capsule
 * state table, and no move is unrecorded.
 */
export class Capsule {
  readonly id: string;
  /** Commands, and what this agent does by itself, one at a time. */
  readonly operations = new Operations();
  /** What it may do in time, and what it has done of that. */
  readonly time: TimeKeeper;
  readonly #notebook: Notebook;
  #record: CapsuleRecord;
  #running: RunningMachine | undefined;
  #room: Disposable | undefined;
  #act: ((reason: TimeoutReason) => Promise<void>) | undefined;

  private constructor(record: CapsuleRecord, notebook: Notebook) {
    this.id = record.id;
    this.#record = record;
    this.#notebook = notebook;
    const { timeRules: rules = noTimeRules } = record;
    const act = async (reason: TimeoutReason) => await this.#act?.(reason);
    this.time = new TimeKeeper({ rules, ranMs: ranMsOf(record), timers: systemTimers, act });
  }

  /** A capsule that is about to be created. */
  static begin(request: CapsuleRequest, notebook: Notebook): Capsule {
    const { id, operation, generation, template, size, timeRules, forkOf } = request;
    const fork = forkOf === undefined ? {} : { forkOf };
    const rules = timeRules && { timeRules };
    const step: Step = { step: "create", operation, generation, template, ...size, ...fork, ...rules };
    const record = recordOf(id, [step]);
    if (!record) throw new RangeError("a journal begins with a create");
    const capsule = new Capsule(record, notebook);
    notebook.journal.write(id, step);
    capsule.#report();
    return capsule;
  }

  /** A capsule of an earlier life of the agent, in the state that its journal ends with. */
  static recovered(record: CapsuleRecord, notebook: Notebook): Capsule {
    const capsule = new Capsule(record, notebook);
    capsule.#report();
    return capsule;
  }

  /** What its journal says. */
  get record(): CapsuleRecord {
    return this.#record;
  }

  get template(): string {
    return this.#record.template;
  }

  get size(): CapsuleSize {
    const { vcpus, memoryMib } = this.#record;
    return { vcpus, memoryMib };
  }

  get state(): CapsuleState {
    return this.#record.state;
  }

  /** Of the newest command. */
  get generation(): number {
    return this.#record.generation;
  }

  /** Machine-readable reason of the state that it is in; empty where a command has brought it there. */
  get reason(): string {
    return this.#record.reason ?? "";
  }

  /** The same for a person; of `error`, the VMM's last words. */
  get detail(): string {
    return this.#record.detail ?? "";
  }

  /** Grows with every change that this host observes. */
  get revision(): number {
    return this.#record.revision;
  }

  /** RFC 3339: when it first ran. */
  get startedAt(): string | undefined {
    return this.#record.startedAt;
  }

  /** What it runs on, once that is known. */
  get versions(): CapsuleVersions | undefined {
    return this.#record.versions;
  }

  get machine(): Machine | undefined {
    return this.#running?.machine;
  }

  /** The guest agent. @throws {WrennError} `invalid_state` unless the capsule runs. */
  get guest(): GuestAgent {
    return this.running.guest;
  }

  /** What runs for it. @throws {WrennError} `invalid_state` unless the capsule runs. */
  get running(): RunningMachine {
    const runs = this.state === "running" || this.state === "snapshotting";
    if (runs && this.#running) return this.#running;
    throw new WrennError("invalid_state", `capsule ${this.id} is ${this.state}, not running`);
  }

  /** Its guest, for whoever asks for it from outside: as long as that is held, the capsule is in use. */
  use(): GuestUse {
    const { guest } = this.running;
    const use = this.time.use();
    return { guest, [Symbol.dispose]: () => use[Symbol.dispose]() };
  }

  /** Has its time rules enforced from now on. @param act does what they say. */
  enforce(act: (reason: TimeoutReason) => Promise<void>): void {
    this.#act = act;
    this.#keepTime();
  }

  /** Room on the host for its machine, which it gives back with that. */
  get hasRoom(): boolean {
    return this.#room !== undefined;
  }

  takeRoom(room: Disposable): void {
    this.giveRoomBack();
    this.#room = room;
  }

  giveRoomBack(): void {
    this.#room?.[Symbol.dispose]();
    this.#room = undefined;
  }

  /** Notes a step that is about to be done. */
  note(step: Step): void {
    const { journal } = this.#notebook;
    if (unstoppable.has(step.step)) journal.writeIfPossible(this.id, step);
    else journal.write(this.id, step);
    this.#record = recordAfter(this.#record, step);
    if (step.step === "time_rules") this.time.rules = step.timeRules;
    this.#keepTime();
  }

  /**
   * Notes a step that the control plane is told of.
   *
   * @throws {WrennError} `invalid_state` when the table of states does not allow it.
   */
  move(uncounted: Uncounted<CountedStep>): void {
    const step = { ...uncounted, revision: this.revision + 1 } as CountedStep;
    const { state } = recordAfter(this.#record, step);
    if (state !== this.state && !canTransition(this.state, state)) {
      throw new WrennError("invalid_state", `capsule ${this.id} cannot go from ${this.state} to ${state}`);
    }
    this.note(step);
    this.#report();
  }

  /** Takes over what runs for it. */
  attach(running: RunningMachine): void {
    this.#running = running;
  }

  /** Gives away what runs for it. */
  detach(): RunningMachine | undefined {
    const running = this.#running;
    this.#running = undefined;
    return running;
  }

  /** What was noted survives a power cut from here on. */
  async sync(): Promise<void> {
    await this.#notebook.journal.sync(this.id);
  }

  /** It is gone: nothing is held for it any more, and from any state that means `stopped`. */
  async forget(reason: string): Promise<void> {
    await this.#notebook.journal.remove(this.id);
    const revision = this.revision + 1;
    this.#record = { ...this.#record, state: "stopped", reason, detail: undefined, revision };
    this.#keepTime();
    this.giveRoomBack();
    this.#report();
  }

  /** Its time passes while its guest runs. */
  #keepTime(): void {
    if (!isRunning(this.state)) this.time.stop(this.#record.ranMs ?? 0);
    else if (this.#act) this.time.start();
  }

  #report(): void {
    this.#notebook.changes.record(toReport(this));
  }
}

/** Whether a guest runs in this state, or goes on if what is under way fails. */
function isRunning(state: CapsuleState): boolean {
  return state === "running" || state === "pausing" || state === "snapshotting";
}

/** For how long it has run: the last run went on while no agent was there to measure it. */
function ranMsOf({ state, ranMs = 0, runningSince }: CapsuleRecord): number {
  if (!isRunning(state) || runningSince === undefined) return ranMs;
  return ranMs + Math.max(Date.now() - Date.parse(runningSince), 0);
}
