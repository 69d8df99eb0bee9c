import { timeoutActions } from "@wrenn/contracts/rest";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";

/** Of the file format. An agent refuses to start on a journal of a newer one. */
export const journalVersion = 1;

/** First line of every journal. Of a newer version, nothing but the version is known. */
const Header = Type.Object({ version: Type.Integer(), capsule: Type.Optional(Type.String()) });

const operation = Type.String();
const generation = Type.Integer();
/** Of the capsule, after the step: it never goes back, also not over a restart of the agent. */
const revision = Type.Integer();

const Process = Type.Object({ pid: Type.Integer(), startTicks: Type.String(), bootId: Type.String() });

/** What it may do in time. */
const timeRules = Type.Object({
  idleTimeoutSec: Type.Integer(),
  maxRunSec: Type.Integer(),
  action: Type.Enum([...timeoutActions]),
});

const Versions = Type.Object({
  imageVersion: Type.String(),
  kernelVersion: Type.String(),
  envdVersion: Type.String(),
  vmm: Type.String(),
  vmmVersion: Type.String(),
});

/** What a capsule runs on. */
export type CapsuleVersions = Static<typeof Versions>;

/** What can be held for a capsule, and is let go of in this order. */
export const holdings = ["machine", "run_dir", "slot", "disk", "source", "snapshot", "archive"] as const;
export type Holding = (typeof holdings)[number];

/** Why it is in the state that it goes to: of the error catalogue, or a name of the agent's; for a person, the rest. */
const reason = Type.Optional(Type.String());
const detail = Type.Optional(Type.String());

/** Commands, and what becomes of them. Each moves the capsule along the table of states. */
const moves = [
  /** The capsule is there: from here on it survives the agent. */
  Type.Object({ step: Type.Literal("running"), revision, startedAt: Type.String(), versions: Versions }),
  /** It cannot go on. Its machine is let go of; it itself stays until it is destroyed, and so does its disk. */
  Type.Object({ step: Type.Literal("failed"), revision, reason: Type.String(), detail }),
  /** `snapshot` is about to be made of it. If that is there when the agent starts, the capsule is paused. */
  Type.Object({
    step: Type.Literal("pause"),
    operation,
    generation,
    revision,
    snapshot: Type.String(),
    reason,
    /** For how long it counts as having run when it is paused, in milliseconds. */
    ranMs: Type.Optional(Type.Integer()),
  }),
  Type.Object({ step: Type.Literal("paused"), revision, reason, detail }),
  /** It is about to be restored from the snapshot that it was paused to, or started from the disk of it. */
  Type.Object({ step: Type.Literal("resume"), operation, generation, revision, fromDisk: Type.Boolean() }),
  /** `snapshot` is about to be taken of it, for others. */
  Type.Object({ step: Type.Literal("snapshot"), operation, generation, revision, snapshot: Type.String() }),
  Type.Object({ step: Type.Literal("hibernate"), operation, generation, revision }),
  Type.Object({ step: Type.Literal("hibernated"), revision }),
  /** What was begun is over, and the capsule is where it was before: it runs on. */
  Type.Object({ step: Type.Literal("went_on"), revision, reason, detail }),
  /** The same for one that does not run. */
  Type.Object({
    step: Type.Literal("stayed"),
    revision,
    state: Type.Enum(["paused", "hibernated"]),
    reason,
    detail,
  }),
  Type.Object({ step: Type.Literal("destroy"), operation, generation, revision }),
] as const;

const steps = [
  Type.Object({
    step: Type.Literal("create"),
    operation,
    generation,
    template: Type.String(),
    vcpus: Type.Integer(),
    memoryMib: Type.Integer(),
    /** The capsule that it is a copy of, and the operation that makes it. */
    forkOf: Type.Optional(Type.String()),
    timeRules: Type.Optional(timeRules),
  }),
  /** Its machine is about to be restored from this snapshot, which its disk and its next snapshot stand on. */
  Type.Object({ step: Type.Literal("source"), id: Type.String(), diskBytes: Type.Integer() }),
  Type.Object({ step: Type.Literal("run_dir") }),
  /** A layer of its own, on top of those that it has. */
  Type.Object({ step: Type.Literal("disk"), path: Type.String() }),
  /** A machine that waited is its own from here on, with all that this one has. */
  Type.Object({
    step: Type.Literal("take_over"),
    source: Type.String(),
    diskBytes: Type.Integer(),
    /** Name of the directory below `machines/`. */
    runDir: Type.String(),
    diskPath: Type.String(),
    slotIndex: Type.Optional(Type.Integer()),
    process: Process,
    guestUrl: Type.String(),
  }),
  /** Its disk is about to be given another size. */
  Type.Object({ step: Type.Literal("disk_size"), bytes: Type.Integer() }),
  /** All the layers of its own, lowest first. */
  Type.Object({ step: Type.Literal("layers"), paths: Type.Array(Type.String()) }),
  Type.Object({ step: Type.Literal("slot"), index: Type.Integer() }),
  /** A VMM is about to be started: whatever has the capsule's run directory or slot is one. */
  Type.Object({ step: Type.Literal("machine") }),
  Type.Object({ step: Type.Literal("started"), process: Process, guestUrl: Type.String() }),
  /** The guest is about to be told who it is. */
  Type.Object({
    step: Type.Literal("claim"),
    accessToken: Type.String(),
    restoreEpoch: Type.Optional(Type.Integer()),
  }),
  /** What its disk was when its machine ended is about to be kept as this snapshot, which has no memory. */
  Type.Object({ step: Type.Literal("kept"), snapshot: Type.String() }),
  /** All of the copies that an operation makes of it are about to run: from here on they do. */
  Type.Object({ step: Type.Literal("forked"), operation }),
  /** A command that there was nothing to do for, or that could not be done. */
  Type.Object({ step: Type.Literal("command"), operation, generation, revision }),
  /** What is to be known of it changed, and its state did not. */
  Type.Object({ step: Type.Literal("remark"), revision, reason, detail }),
  Type.Object({ step: Type.Literal("time_rules"), revision, timeRules }),
  /** Something is about to be let go of. Written first: a slot that is free may be another capsule's at once. */
  Type.Object({ step: Type.Literal("release"), holding: Type.Enum([...holdings]) }),
  ...moves,
] as const;

const Entry = Type.Intersect([Type.Union([...steps]), Type.Object({ at: Type.String() })]);

/** One step, written before it is done. */
export type Step = Static<(typeof steps)[number]>;

/** A step that is counted: the capsule gets a new revision by it, and is reported. */
export type CountedStep = Extract<Step, { revision: number }>;

/** Parses one line of a journal; undefined when it is no entry. */
export function parseEntry(text: string): Step | undefined {
  const value = parseJson(text);
  return Value.Check(Entry, value) ? value : undefined;
}

/** Parses the first line of a journal; undefined when it is no header. */
export function parseHeader(text: string): Static<typeof Header> | undefined {
  const value = parseJson(text);
  return Value.Check(Header, value) ? value : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
