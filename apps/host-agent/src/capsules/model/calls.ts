import type { CapsuleState } from "@wrenn/contracts";

/** Where in a command the agent is ended: around its n-th line of the journal, from 0. */
export interface Fault {
  readonly when: "before" | "after";
  readonly step: number;
}

/** A capsule as its agent shows it. */
export interface Seen {
  readonly id: string;
  readonly state: CapsuleState;
  readonly generation: number;
  readonly revision: number;
  readonly reason: string;
  /** Of its machine. */
  readonly pid: number | undefined;
}

/** A command to one capsule. */
export interface Command {
  readonly id: string;
  readonly generation: number;
}

/** What can be asked of an agent in a process of its own. */
export interface Calls {
  open(options: { dir: string; envdBinary: string; epoch: number }): Promise<void>;
  close(): Promise<void>;
  see(): Promise<Seen[]>;
  /** Ids of the snapshots that are offered. */
  snapshots(): Promise<string[]>;
  /** Of the template, or of a snapshot. */
  create(command: Command & { snapshot?: string }): Promise<void>;
  destroy(command: Command): Promise<void>;
  pause(command: Command): Promise<void>;
  resume(command: Command): Promise<void>;
  /** Starts its kernel anew on the disk that is left. */
  resumeFromDisk(command: Command): Promise<void>;
  hibernate(command: Command): Promise<void>;
  fork(command: Command & { children: string[] }): Promise<void>;
  snapshot(command: Command & { snapshot: string }): Promise<void>;
  deleteSnapshot(snapshot: string): Promise<void>;
}

export interface Call {
  readonly id: number;
  readonly name: keyof Calls;
  readonly argument: unknown;
  readonly fault?: Fault | undefined;
}

/** One of the two is present. */
export interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}
