import { Activity } from "./activity.ts";
import type { TimeoutReason, TimeRules } from "./time-rules.ts";
import type { Timers } from "./timers.ts";

/** Waits after an action that failed, in milliseconds: the second is twice the first, and so on up to the longest. */
const retries = { first: 5_000, longest: 300_000 } as const;

export interface TimeKeeperOptions {
  readonly rules: TimeRules;
  /** How long the capsule has run before, as {@link TimeKeeper.ranMs} told it then. */
  readonly ranMs: number;
  readonly timers: Timers;
  /**
   * Called when time is over. Rejects when nothing could be done, and is called again later. Whoever acts asks
   * {@link TimeKeeper.due} once more, just before, since the capsule may be in use again.
   */
  readonly act: (reason: TimeoutReason) => Promise<void>;
}

/**
 * Enforces the time rules of one capsule while it runs. Uses are many and timeouts few: so a use only notes the time, and
 * the one timer finds out when it fires whether the capsule was used meanwhile.
 */
export class TimeKeeper implements Disposable {
  readonly #timers: Timers;
  readonly #act: TimeKeeperOptions["act"];
  readonly #activity: Activity;
  #rules: TimeRules;
  #ranMs: number;
  #runningSince: number | undefined;
  #timer: Disposable | undefined;
  #acting = false;
  #failures = 0;
  #ended = false;

  constructor({ rules, ranMs, timers, act }: TimeKeeperOptions) {
    this.#rules = rules;
    this.#ranMs = ranMs;
    this.#timers = timers;
    this.#act = act;
    this.#activity = new Activity(timers);
  }

  get rules(): TimeRules {
    return this.#rules;
  }

  /** New rules hold at once. */
  set rules(rules: TimeRules) {
    this.#rules = rules;
    this.#failures = 0;
    this.#arm();
  }

  /** Milliseconds that the capsule has run. */
  get ranMs(): number {
    const since = this.#runningSince;
    return this.#ranMs + (since === undefined ? 0 : this.#timers.now() - since);
  }

  /** Why the capsule's time is over, as of now; undefined while it is not. */
  get due(): TimeoutReason | undefined {
    if (this.#runningSince === undefined) return undefined;
    const { maxRunSec, idleTimeoutSec } = this.#rules;
    if (maxRunSec > 0 && this.ranMs >= maxRunSec * 1000) return "max_run_time";
    if (idleTimeoutSec > 0 && this.#activity.idleMs >= idleTimeoutSec * 1000) return "idle_timeout";
    return undefined;
  }

  /** The capsule runs from now on. That is a use of it. */
  start(): void {
    if (this.#runningSince !== undefined) return;
    this.#runningSince = this.#timers.now();
    this.#failures = 0;
    this.#activity.touch();
    this.#arm();
  }

  /**
   * The capsule does not run: its time stands still.
   *
   * @param ranMs how long it counts as having run; 0 to count anew.
   */
  stop(ranMs: number = this.ranMs): void {
    this.#ranMs = ranMs;
    this.#runningSince = undefined;
    this.#disarm();
  }

  /** The capsule is used, for a moment. */
  touch(): void {
    this.#activity.touch();
  }

  /** The capsule is used until what this returns is disposed of. */
  use(): Disposable {
    return this.#activity.use();
  }

  /** Nothing is enforced any more, whatever becomes of the capsule. */
  [Symbol.dispose](): void {
    this.#ended = true;
    this.stop();
  }

  /** Sets the timer to the earliest moment at which time may be over, or to the next attempt to act on that. */
  #arm(): void {
    this.#disarm();
    if (this.#acting || this.#ended) return;
    const waitMs = this.#waitMs();
    if (waitMs !== undefined) this.#timer = this.#timers.after(waitMs, () => void this.#check());
  }

  #disarm(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
  }

  #waitMs(): number | undefined {
    if (this.#runningSince === undefined) return undefined;
    const { maxRunSec, idleTimeoutSec } = this.#rules;
    const waits = [
      ...(maxRunSec > 0 ? [maxRunSec * 1000 - this.ranMs] : []),
      ...(idleTimeoutSec > 0 ? [idleTimeoutSec * 1000 - this.#activity.idleMs] : []),
    ];
    if (waits.length === 0) return undefined;
    // Timers round down to whole milliseconds.
    return Math.max(Math.ceil(Math.min(...waits)), this.#retryMs());
  }

  #retryMs(): number {
    if (this.#failures === 0) return 0;
    return Math.min(retries.first * 2 ** (this.#failures - 1), retries.longest);
  }

  async #check(): Promise<void> {
    const reason = this.due;
    if (reason) await this.#actOn(reason);
    else this.#failures = 0;
    this.#arm();
  }

  async #actOn(reason: TimeoutReason): Promise<void> {
    this.#acting = true;
    try {
      await this.#act(reason);
    } catch {
      // Whoever acts has told it; here is only waited.
    } finally {
      this.#acting = false;
      this.#failures = this.due ? this.#failures + 1 : 0;
    }
  }
}
