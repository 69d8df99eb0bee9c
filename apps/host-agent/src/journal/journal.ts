import { closeSync, constants, openSync, writeSync } from "node:fs";
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { isId, WrennError } from "@wrenn/contracts";
import { type Logger, syncDirectory, writeFileAtomic } from "@wrenn/daemon";
import { journalVersion, parseEntry, parseHeader, type Step } from "./entry.ts";
import { type CapsuleRecord, recordOf, salvagedRecord, withoutStaleSlots } from "./record.ts";

const suffix = ".journal";

/** A journal begins with its create. What comes late, when its capsule is forgotten, must not begin another. */
const goOn = constants.O_WRONLY | constants.O_APPEND;
const begin = goOn | constants.O_CREAT | constants.O_EXCL;

/** Called before and after each step is written: where a test ends the agent. */
export type JournalObserver = (when: "before" | "after", capsuleId: string, step: Step) => void;

/** What was found at the start. */
export interface JournalContents {
  readonly records: readonly CapsuleRecord[];
  /**
   * What can be made out of journals that cannot be read as a whole. While there is one, nothing that may belong to its
   * capsule is touched.
   */
  readonly unreadable: readonly CapsuleRecord[];
}

/**
 * What this agent is doing to each capsule, on disk: one file of JSON lines per capsule, a line for each step, written
 * before the step is done. So whatever ends the agent, the next one knows what may be there.
 *
 * Most lines are not synced. They have to outlive the agent, not the machine: a machine that loses power has lost its
 * VMMs too, and then every file that no readable journal names is an orphan. What a capsule that has no VMM consists of
 * is synced, see {@link sync}.
 */
export class Journal {
  readonly #dir: string;
  readonly #logger: Logger;
  readonly #observe: JournalObserver;

  constructor(dir: string, logger: Logger, observe: JournalObserver = () => {}) {
    this.#dir = dir;
    this.#logger = logger;
    this.#observe = observe;
  }

  /** Writes a step that is about to be done. Synchronous: no other step of the capsule comes between. */
  write(capsuleId: string, step: Step): void {
    this.#observe("before", capsuleId, step);
    const begins = step.step === "create";
    const header = begins ? line({ version: journalVersion, capsule: capsuleId }) : "";
    const entry = line({ ...step, at: new Date().toISOString() });
    append(this.#path(capsuleId), header + entry, begins ? begin : goOn);
    this.#observe("after", capsuleId, step);
  }

  /** As {@link write}, for a step that lets go of something: a full disk must not stand in its way. */
  writeIfPossible(capsuleId: string, step: Step): void {
    try {
      this.write(capsuleId, step);
    } catch (err) {
      this.#logger.warn({ err, capsule: capsuleId, step: step.step }, "a step could not be journaled");
    }
  }

  /** What was written of a capsule survives a power cut from here on. */
  async sync(capsuleId: string): Promise<void> {
    await using file = await open(this.#path(capsuleId), "r");
    await file.sync();
    await syncDirectory(this.#dir);
  }

  /** Forgets a capsule of which nothing is left. */
  async remove(capsuleId: string): Promise<void> {
    await rm(this.#path(capsuleId), { force: true });
  }

  /** @throws {WrennError} `journal_unreadable` when a newer agent has been here: this one must not touch its work. */
  async load(): Promise<JournalContents> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const records: CapsuleRecord[] = [];
    const unreadable: CapsuleRecord[] = [];
    for (const name of await readdir(this.#dir)) {
      const id = name.slice(0, -suffix.length);
      if (!name.endsWith(suffix) || !isId("capsule", id)) continue;
      const { record, readable } = await this.#read(id);
      (readable ? records : unreadable).push(record);
    }
    return { records: withoutStaleSlots(records), unreadable };
  }

  async #read(id: string): Promise<{ record: CapsuleRecord; readable: boolean }> {
    const path = this.#path(id);
    const text = await readFile(path, "utf8");
    const whole = text.slice(0, text.lastIndexOf("\n") + 1);
    const [first = "", ...rest] = whole.split("\n").slice(0, -1);
    const header = parseHeader(first);
    if (header && header.version > journalVersion) throw newerJournal(path, header.version);
    const entries = rest.map(parseEntry).filter((entry) => entry !== undefined);
    const record = recordOf(id, entries);
    const readable = header?.capsule === id && entries.length === rest.length && record !== undefined;
    if (!readable) return { record: salvagedRecord(id, entries), readable };
    // The last line was being written when the agent ended: its step was not begun.
    if (whole !== text) await writeFileAtomic(path, whole);
    return { record, readable };
  }

  #path(capsuleId: string): string {
    return join(this.#dir, `${capsuleId}${suffix}`);
  }
}

function append(path: string, text: string, flags: number): void {
  const fd = openSync(path, flags, 0o600);
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

function line(value: Record<string, unknown>): string {
  return `${JSON.stringify(value)}\n`;
}

function newerJournal(path: string, version: number): WrennError {
  const sentence = `${path} is of version ${version}, this agent knows ${journalVersion}; start the newer agent again`;
  return new WrennError("journal_unreadable", sentence);
}
