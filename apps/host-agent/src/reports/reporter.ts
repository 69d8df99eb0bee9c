import { WrennError } from "@wrenn/contracts";
import type { HostReportAnswer, HostReportBody } from "@wrenn/contracts/rest";
import type { Logger } from "@wrenn/daemon";
import type { HostSpecs } from "../host/specs.ts";
import type { ChangeLog } from "./change-log.ts";
import { Wakeup } from "./wakeup.ts";

const heartbeatMs = 30_000;
/** Changes that follow each other this closely are told together: most creates and destroys are one report. */
const gatherMs = 100;
const firstRetryMs = 500;
/** Short, so that a control plane that is back knows its hosts before it calls their capsules missing. */
const lastRetryMs = 15_000;
/** A refusal does not pass by itself, but it can be mended without a restart of this agent. */
const refusedRetryMs = 30_000;

export interface ReporterOptions {
  readonly hostId: string;
  readonly changes: ChangeLog;
  readonly specs: () => Promise<HostSpecs>;
  readonly send: (report: HostReportBody, signal: AbortSignal) => Promise<HostReportAnswer>;
  readonly logger: Logger;
  /** Told how each report ended. */
  readonly onReport?: (outcome: Outcome) => void;
  /** Default: 30 s. */
  readonly heartbeatMs?: number;
}

/** How a report ended. `superseded`: a newer life of this agent reports for the host. */
export type Outcome = "acknowledged" | "failed" | "refused" | "superseded";

/**
 * Keeps the control plane's picture of this host up to date, for ever, whether or not there is one: the full set at
 * the start, what changed at once, and a heartbeat when nothing did. One report is under way at a time; what changes
 * meanwhile goes with the next.
 */
export class Reporter implements AsyncDisposable {
  readonly #options: ReporterOptions;
  readonly #stop = new AbortController();
  readonly #changed = new Wakeup();
  readonly #hurry = new Wakeup();
  readonly #answered = new Wakeup();
  readonly #running: Promise<void>;
  /** Revision up to which the control plane knows everything; undefined: it has to have the full set. */
  #acknowledged: number | undefined;
  #everAcknowledged = false;
  #retryMs = firstRetryMs;
  #complaint: string | undefined;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Whether the control plane has acknowledged a report of this life. */
  get acknowledged(): boolean {
    return this.#everAcknowledged;
  }

  /** Changes that the control plane does not know yet. */
  get lag(): number {
    return this.#options.changes.revision - (this.#acknowledged ?? 0);
  }

  /** Waits until the control plane knows everything up to now, but no longer than `ms`. */
  async flush(ms: number): Promise<void> {
    const wanted = this.#options.changes.revision;
    const giveUp = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(ms)]);
    // Somebody waits: tries that failed are repeated soon again, but not without a pause.
    this.#retryMs = firstRetryMs;
    this.#hurry.ring();
    while (!giveUp.aborted && (this.#acknowledged ?? -1) < wanted) await this.#answered.wait(ms, giveUp);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { changes, onReport } = this.#options;
    const { signal } = this.#stop;
    using _ = changes.onChange(() => this.#changed.ring());
    while (!signal.aborted) {
      const outcome = await this.#report(signal);
      if (signal.aborted) return;
      onReport?.(outcome);
      this.#answered.ring();
      if (outcome === "superseded") return this.#stop.abort();
      await this.#pause(outcome, signal);
    }
  }

  async #report(signal: AbortSignal): Promise<Outcome> {
    const { send, specs } = this.#options;
    try {
      const body = { ...(await specs()), ...this.#content() };
      signal.throwIfAborted();
      return this.#take(await send(body, signal), body);
    } catch (error) {
      return signal.aborted ? "failed" : this.#judge(error);
    }
  }

  #content(): Pick<HostReportBody, "epoch" | "revision" | "base_revision" | "capsules"> {
    const { changes } = this.#options;
    const { epoch, revision } = changes;
    const base = this.#acknowledged;
    if (base === undefined) return { epoch, revision, capsules: changes.all() };
    return { epoch, revision, base_revision: base, capsules: changes.since(base) };
  }

  #take(answer: HostReportAnswer, body: HostReportBody): Outcome {
    this.#note(answer.problem);
    if (answer.full_wanted) {
      this.#acknowledged = undefined;
      // Asked again for what it has just got, it is not to be hurried.
      return body.base_revision === undefined ? "failed" : "acknowledged";
    }
    if (answer.acknowledged < body.revision) return "failed";
    this.#acknowledged = body.revision;
    this.#everAcknowledged = true;
    this.#options.changes.acknowledge(body.revision);
    return "acknowledged";
  }

  #judge(error: unknown): Outcome {
    const { hostId, logger } = this.#options;
    if (!(error instanceof WrennError) || error.status >= 500) {
      this.#complain(error instanceof Error ? error.message : String(error));
      return "failed";
    }
    if (error.code === "stale_report") {
      logger.error("a newer life of this agent reports for this host; this one reports no more");
      return "superseded";
    }
    const cure =
      error.code === "unauthorized" || error.code === "identity_mismatch"
        ? `; make a token with POST /v1/hosts/${hostId}/token and start this agent with --register TOKEN`
        : "";
    this.#complain(`${error.message}${cure}`);
    return "refused";
  }

  async #pause(outcome: Outcome, signal: AbortSignal): Promise<void> {
    if (outcome === "refused") return await this.#hurry.wait(refusedRetryMs, signal);
    if (outcome === "failed") {
      // Spread, so that the hosts of a control plane that was away do not come back as one.
      await this.#hurry.wait(this.#retryMs * (0.75 + Math.random() / 2), signal);
      this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs);
      return;
    }
    this.#retryMs = firstRetryMs;
    if (this.#acknowledged === undefined) return;
    if (this.lag === 0) await this.#changed.wait(this.#options.heartbeatMs ?? heartbeatMs, signal);
    if (this.lag > 0) await this.#hurry.wait(gatherMs, signal);
  }

  /** Says what is wrong once, not with every attempt. */
  #complain(complaint: string): void {
    if (complaint !== this.#complaint) this.#options.logger.error(`report not taken: ${complaint}`);
    this.#complaint = complaint;
  }

  /** The report was taken; what the control plane finds wrong with the host is said once. */
  #note(problem: string | undefined): void {
    const { logger } = this.#options;
    if (problem !== undefined && problem !== this.#complaint) {
      logger.warn(`the control plane does not use this host: ${problem}`);
    }
    if (problem === undefined && this.#complaint !== undefined) logger.info("reports are taken again");
    this.#complaint = problem;
  }
}
