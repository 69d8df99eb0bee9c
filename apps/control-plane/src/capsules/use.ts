import { setTimeout as sleep } from "node:timers/promises";
import { type CapsuleState, isTransitional, WrennError } from "@wrenn/contracts";
import type { Host } from "../hosts/host.ts";
import type { Log } from "../log.ts";
import { askHost } from "../reports/ask.ts";
import { settleAnswered, settleLost } from "../reports/settle.ts";
import type { Activity } from "./activity.ts";
import type { LifecycleParts } from "./lifecycle.ts";
import { resumeCapsule } from "./resume.ts";
import type { PlacedCapsule } from "./store.ts";

/** Who uses which capsule for what. */
export interface Use {
  teamId: string;
  id: string;
  kind: "exec" | "read_file" | "write_file" | "list_files";
  logger: Log;
  /** Ends the wait for a capsule that has to be resumed first. */
  signal?: AbortSignal | undefined;
}

/** A running capsule, for the length of one request. */
export interface UsedCapsule {
  id: string;
  host: Host;
  /** Notes that something has reached it: from then on, nothing is done again. For what takes long, again and again. */
  touch(): void;
}

export interface UseParts extends LifecycleParts {
  activity: Activity;
  /** @throws {WrennError} `not_found` */
  get(teamId: string, id: string): Promise<PlacedCapsule>;
}

/** How long somebody who needs a capsule waits for what is being done to it. */
const maxWaitMs = 5 * 60_000;
const lookEveryMs = 100;
const touchTimeoutMs = 10_000;
/** A capsule that is paused anew each time is resumed so often for one request. */
const maxWakes = 3;

/** Lets requests reach the guests of capsules, and resumes those that wake up by themselves. */
export class CapsuleUse {
  readonly #parts: UseParts;
  /** Capsules that are being resumed here: whoever needs one of them waits for the same. */
  readonly #resuming = new Map<string, Promise<unknown>>();

  constructor(parts: UseParts) {
    this.#parts = parts;
  }

  /**
   * Lets work reach a running capsule, and notes that it is used, before and after. Work that has not reached it, since
   * the host has just paused it, is done again when it wakes up by itself; but for an upload, whose body can be read once.
   *
   * @throws {WrennError} `invalid_state` when the capsule does not run, or turns out to be gone.
   */
  async use<T>(use: Use, work: (capsule: UsedCapsule) => Promise<T>): Promise<T> {
    const row = await this.#awake(await this.#parts.get(use.teamId, use.id), use, isReachable);
    const measured = (capsule: UsedCapsule): Promise<T> =>
      this.#parts.metrics.operation(use.kind, () => work(capsule));
    if (use.kind !== "write_file") return this.#reach(row, use, measured, row.auto_resume);
    // Its host does not pause it so soon after a touch.
    if (row.auto_resume) await this.#reach(row, use, () => this.#touchOnHost(row), true);
    return this.#reach(row, use, measured, false);
  }

  /** @param wakes whether it is woken up, and work done again, when it does not run. */
  async #reach<T>(
    row: PlacedCapsule,
    use: Use,
    work: (capsule: UsedCapsule) => Promise<T>,
    wakes: boolean,
  ): Promise<T> {
    let reached = false;
    const reach = (): void => {
      reached = true;
    };
    try {
      return await this.#work(row, work, reach);
    } catch (error) {
      const again = wakes && !reached;
      const now = await this.#foundOut(row, error, use, again);
      if (!again) throw now.state === "running" ? error : notRunning(now);
      return this.#work(await this.#awake(now, use, isRunning), work, reach);
    }
  }

  async #work<T>(
    row: PlacedCapsule,
    work: (capsule: UsedCapsule) => Promise<T>,
    reach: () => void,
  ): Promise<T> {
    const { activity, hosts } = this.#parts;
    const { id } = row;
    const note = (): void => activity.touch(id);
    const touch = (): void => {
      reach();
      note();
    };
    note();
    try {
      return await work({ id, host: hosts.of(row), touch });
    } finally {
      note();
    }
  }

  async #touchOnHost(row: PlacedCapsule): Promise<void> {
    const request = { capsuleId: row.id };
    await this.#parts.hosts
      .of(row)
      .agent.call((client) => client.touchCapsule(request, { timeoutMs: touchTimeoutMs }));
  }

  /** A capsule that can be used, once it can, if it wakes up by itself. */
  async #awake(
    row: PlacedCapsule,
    use: Use,
    isUsable: (row: PlacedCapsule) => boolean,
  ): Promise<PlacedCapsule> {
    const deadline = performance.now() + maxWaitMs;
    let now = row;
    for (let wakes = 0; !isUsable(now); ) {
      const givenUp = performance.now() > deadline || use.signal?.aborted;
      if (!now.auto_resume || !wakesUp(now) || givenUp) throw notRunning(now);
      if (isTransitional(now.state)) await this.#moment(use);
      else await this.#wake(now, use, ++wakes >= maxWakes);
      now = await this.#parts.get(use.teamId, use.id);
    }
    return now;
  }

  /** Resumes a capsule, once however many ask. Another control plane may be faster; then it is being resumed. */
  async #wake(row: PlacedCapsule, { logger }: Use, isLast: boolean): Promise<void> {
    let resuming = this.#resuming.get(row.id);
    if (!resuming) {
      resuming = resumeCapsule(row, "memory", this.#parts, logger);
      this.#resuming.set(row.id, resuming);
      const forget = (): void => void this.#resuming.delete(row.id);
      resuming.then(forget, forget);
    }
    await resuming.catch((error: unknown) => {
      const wasOvertaken =
        error instanceof WrennError && (error.code === "conflict" || error.code === "invalid_state");
      if (isLast || !wasOvertaken) throw error;
    });
  }

  /** Makes the row of a capsule that did not let work in say what its host says, which is right. */
  async #foundOut(row: PlacedCapsule, error: unknown, use: Use, patient: boolean): Promise<PlacedCapsule> {
    if (!(error instanceof WrennError)) throw error;
    const parts = { ...this.#parts, logger: use.logger };
    if (error.code === "not_found" && error.field === "id") await settleLost(row, parts);
    else if (error.code !== "invalid_state") throw error;
    else await this.#askAbout(row, use, patient);
    return this.#parts.get(use.teamId, use.id);
  }

  async #askAbout(row: PlacedCapsule, use: Use, patient: boolean): Promise<void> {
    const deadline = performance.now() + maxWaitMs;
    for (;;) {
      const answered = (await askHost(this.#parts.hosts.of(row)))(row.id);
      const isAtIt = typeof answered === "object" && isTransitional(answered.state);
      const givenUp = performance.now() > deadline || use.signal?.aborted;
      if (!isAtIt || !patient || givenUp) {
        if (!isTransitional(row.state))
          await settleAnswered(row, answered, { ...this.#parts, logger: use.logger });
        return;
      }
      await this.#moment(use);
    }
  }

  async #moment({ signal }: Use): Promise<void> {
    await sleep(lookEveryMs, undefined, { ...(signal && { signal }) }).catch(() => {}); // whoever loops looks at the signal
  }
}

function isRunning({ state }: PlacedCapsule): boolean {
  return state === "running";
}

/** While a snapshot is taken, the guest is there, but for the moment of the stop. */
function isReachable({ state }: PlacedCapsule): boolean {
  return state === "running" || state === "snapshotting";
}

/** States of a capsule that is paused or hibernated, or that may be that soon. */
const wakeableStates: readonly CapsuleState[] = [
  "pausing",
  "paused",
  "resuming",
  "snapshotting",
  "hibernating",
  "hibernated",
];

function wakesUp({ state }: PlacedCapsule): boolean {
  return wakeableStates.includes(state);
}

function notRunning(row: PlacedCapsule): WrennError {
  const sentence = `capsule ${row.id} is in state "${row.state}", it has to be running`;
  const cure = wakesUp(row) && !row.auto_resume ? "; resume it, or set auto_resume" : "";
  return new WrennError("invalid_state", sentence + cure);
}
