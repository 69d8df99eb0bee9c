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
export const holdings = ["machine", "run_dir", "disk", "slot"] as const;
export type Holding = (typeof holdings)[number];

const steps = [
  Type.Object({
    step: Type.Literal("create"),
    operation,
    generation,
    template: Type.String(),
    vcpus: Type.Integer(),
    memoryMib: Type.Integer(),
  }),
  Type.Object({ step: Type.Literal("run_dir") }),
  Type.Object({ step: Type.Literal("disk"), path: Type.String() }),
  Type.Object({ step: Type.Literal("slot"), index: Type.Integer() }),
  /** A VMM is about to be started: whatever has the capsule's run directory or slot is one. */
  Type.Object({ step: Type.Literal("machine") }),
  Type.Object({ step: Type.Literal("started"), process: Process, guestUrl: Type.String() }),
  /** The guest is about to be told who it is. */
  Type.Object({ step: Type.Literal("claim"), accessToken: Type.String() }),
  /** The capsule is there: from here on it survives the agent. */
  Type.Object({ step: Type.Literal("running"), revision, startedAt: Type.String(), versions: Versions }),
  /** It cannot go on. What it holds is let go of; it itself stays until it is destroyed. */
  Type.Object({
    step: Type.Literal("failed"),
    revision,
    reason: Type.String(),
    detail: Type.Optional(Type.String()),
  }),
  Type.Object({ step: Type.Literal("destroy"), operation, generation, revision }),
  /** Something is about to be let go of. Written first: a slot that is free may be another capsule's at once. */
  Type.Object({ step: Type.Literal("release"), holding: Type.Enum([...holdings]) }),
] as const;

const Entry = Type.Intersect([Type.Union([...steps]), Type.Object({ at: Type.String() })]);

/** One step, written before it is done. */
export type Step = Static<(typeof steps)[number]>;

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
