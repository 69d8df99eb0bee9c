import { WrennError } from "@wrenn/contracts";
import type { HostReportAnswer, HostReportBody } from "@wrenn/contracts/rest";
import type { Kysely } from "kysely";
import type { BackgroundTasks } from "../background-tasks.ts";
import type { CapsuleOperations } from "../capsules/operations.ts";
import type { CapsuleStore } from "../capsules/store.ts";
import type { Schema } from "../database/schema.ts";
import { parseHostAddress } from "../hosts/address.ts";
import { clockProblem } from "../hosts/clock.ts";
import type { Host } from "../hosts/host.ts";
import type { Hosts } from "../hosts/hosts.ts";
import { advanceReport, type KnownHost, noteReport } from "../hosts/store.ts";
import { addressProblem } from "../hosts/verify.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { compareSnapshots } from "../snapshots/settle.ts";
import type { SnapshotStore } from "../snapshots/store.ts";
import { reconcile } from "./reconcile.ts";

/** So often each host is asked for everything, should anything have gone by unnoticed. */
const fullEveryMs = 10 * 60_000;

export interface ReportParts {
  kysely: Kysely<Schema>;
  hosts: Hosts;
  store: CapsuleStore;
  snapshots: SnapshotStore;
  operations: CapsuleOperations;
  background: BackgroundTasks;
  metrics: Metrics;
}

/** What hosts report: taken by whichever replica gets it, in any number at once. */
export class ReportService {
  readonly #parts: ReportParts;
  /** When this process saw the last full report of each host. */
  readonly #fullAt = new Map<string, number>();

  constructor(parts: ReportParts) {
    this.#parts = parts;
  }

  /**
   * Takes a report: notes that the host lives, makes rows and host agree, and says up to where it knows everything.
   *
   * @param log names the host.
   * @throws {WrennError} `stale_report` for one of an earlier life of the agent.
   */
  async take(host: KnownHost, body: HostReportBody, log: Log): Promise<HostReportAnswer> {
    refuseStale(host, body);
    parseHostAddress(body.address);
    const problem = await this.#noteHost(host, body, log);
    const { outcome, ...answer } = await this.#takeCapsules(host, body, log);
    this.#parts.metrics.report(outcome);
    return { ...answer, ...(problem !== undefined && { problem }) };
  }

  /** Checks who answers at a new address, and notes what is wrong with the host, if anything. */
  async #noteHost(host: KnownHost, body: HostReportBody, log: Log): Promise<string | undefined> {
    const { kysely } = this.#parts;
    const known = host.address_verified && host.address === body.address;
    const unverified = known ? undefined : await addressProblem(this.#reach(host, body));
    const problems = [clockProblem(body.sent_at), unverified].filter((problem) => problem !== undefined);
    const problem = problems.length > 0 ? problems.join("; ") : undefined;
    await noteReport(kysely, host, body, { addressVerified: unverified === undefined, problem });
    if (problem !== undefined && problem !== host.problem) log.warn({ problem }, "a host cannot be used");
    if (!known && unverified === undefined)
      log.info({ address: body.address }, "a host answers at its address");
    return problem;
  }

  async #takeCapsules(
    host: KnownHost,
    body: HostReportBody,
    log: Log,
  ): Promise<Omit<HostReportAnswer, "problem"> & { outcome: ReportOutcome }> {
    const { epoch, revision } = positionOf(body);
    const full = body.base_revision === undefined;
    const sameLife = host.report_epoch === epoch;
    const known = sameLife ? host.report_revision : null;
    const acknowledged = Number(known ?? 0n);
    // Its answer was lost, or a later report was faster.
    if (known !== null && (full ? known > revision : known >= revision)) {
      return { acknowledged, full_wanted: this.#fullIsDue(host.id), outcome: "repeated" };
    }
    if (!full && known !== BigInt(body.base_revision ?? 0)) {
      return { acknowledged, full_wanted: true, outcome: "gap" };
    }
    const agreed = await reconcile(this.#reach(host, body), body, { ...this.#parts, logger: log });
    // After, not before: what is acknowledged is done, whenever we die.
    if (!agreed || !(await advanceReport(this.#parts.kysely, host, { epoch, revision }))) {
      return { acknowledged, full_wanted: true, outcome: "incomplete" };
    }
    if (full) {
      this.#fullAt.set(host.id, performance.now());
      this.#compareSnapshots(this.#reach(host, body), log);
    }
    const outcome = full ? "full" : "delta";
    return { acknowledged: Number(revision), full_wanted: this.#fullIsDue(host.id), outcome };
  }

  /** Reports are of capsules. What snapshots a host has it is asked, as seldom as it tells everything. */
  #compareSnapshots(host: Host, logger: Log): void {
    this.#parts.background.start("compare snapshots", () =>
      compareSnapshots(host, { ...this.#parts, logger }),
    );
  }

  /** Also when this process has never seen one: whoever died before it may have left something undone. */
  #fullIsDue(hostId: string): boolean {
    const at = this.#fullAt.get(hostId);
    return at === undefined || performance.now() - at > fullEveryMs;
  }

  #reach({ id }: KnownHost, { address, epoch }: HostReportBody): Host {
    return this.#parts.hosts.at({ id, address, report_epoch: BigInt(epoch) });
  }
}

export type ReportOutcome = "full" | "delta" | "gap" | "repeated" | "incomplete";

function positionOf(body: HostReportBody): { epoch: bigint; revision: bigint } {
  return { epoch: BigInt(body.epoch), revision: BigInt(body.revision) };
}

function refuseStale({ report_epoch: known }: KnownHost, { epoch }: HostReportBody): void {
  if (known === null || BigInt(epoch) >= known) return;
  const sentence =
    `epoch ${epoch} is of an earlier life of the agent, there is a report of ${known}; ` +
    "end the other agent that uses this host's credentials, or register this one anew";
  throw new WrennError("stale_report", sentence, { field: "epoch" });
}
