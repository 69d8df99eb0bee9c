import type { ReportedCapsule } from "@wrenn/contracts/rest";

interface Entry {
  readonly capsule: ReportedCapsule;
  /** Revision of the host at which it changed last. */
  readonly changedAt: number;
}

/**
 * What the control plane has to know of this host's capsules: the newest state of each, and when it changed. A report
 * is a level, not an event: who asks for the changes since a revision gets every capsule that differs from then.
 */
export class ChangeLog {
  /** Grows with every start of the agent; revisions of different epochs do not compare. */
  readonly epoch: number;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<() => void>();
  #revision = 0;

  constructor(epoch: number) {
    this.epoch = epoch;
  }

  /** Grows with every change on the host. */
  get revision(): number {
    return this.#revision;
  }

  /** Notes the state of a capsule. One that is `stopped` is remembered until the control plane knows it. */
  record(capsule: ReportedCapsule): void {
    this.#revision += 1;
    this.#entries.set(capsule.id, { capsule, changedAt: this.#revision });
    for (const listener of [...this.#listeners]) listener();
  }

  /** The capsules that changed after a revision. */
  since(revision: number): ReportedCapsule[] {
    return [...this.#entries.values()]
      .filter(({ changedAt }) => changedAt > revision)
      .map(({ capsule }) => capsule);
  }

  /** Every capsule, also those that have stopped since the last acknowledgement. */
  all(): ReportedCapsule[] {
    return this.since(-1);
  }

  /** The control plane knows everything up to a revision: stopped capsules as old as that are forgotten. */
  acknowledge(revision: number): void {
    for (const [id, { capsule, changedAt }] of this.#entries) {
      if (capsule.state === "stopped" && changedAt <= revision) this.#entries.delete(id);
    }
  }

  /** Calls the listener after each change, until its registration is disposed of. It must not throw. */
  onChange(listener: () => void): Disposable {
    // Wrapped, so that one function registered twice is two registrations.
    const registered = () => listener();
    this.#listeners.add(registered);
    return { [Symbol.dispose]: () => void this.#listeners.delete(registered) };
  }
}
