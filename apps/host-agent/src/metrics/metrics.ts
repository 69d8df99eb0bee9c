import type { CapsuleState } from "@wrenn/contracts";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** From a create of milliseconds to the first boot of a size under software emulation. */
const durationBuckets = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** What the agent counts, for Prometheus. Names end in the unit, as its conventions want. */
export class AgentMetrics {
  readonly registry = new Registry();
  readonly #operations: Histogram<"kind" | "outcome">;
  readonly #vmmExits: Counter;
  readonly #bootSnapshots: Histogram;
  readonly #reports: Counter<"outcome">;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.#operations = new Histogram({
      name: "wrenn_operation_duration_seconds",
      help: "Operations on capsules, by kind and by how they ended (ok, or an error code).",
      labelNames: ["kind", "outcome"],
      buckets: durationBuckets,
      registers,
    });
    this.#vmmExits = new Counter({
      name: "wrenn_vmm_exits_total",
      help: "Machines that ended by themselves while their capsule ran.",
      registers,
    });
    this.#bootSnapshots = new Histogram({
      name: "wrenn_boot_snapshot_duration_seconds",
      help: "Boot snapshots that were made.",
      buckets: durationBuckets,
      registers,
    });
    this.#reports = new Counter({
      name: "wrenn_reports_total",
      help: "Reports to the control plane, by outcome.",
      labelNames: ["outcome"],
      registers,
    });
  }

  /** An operation on a capsule ended. @param outcome `ok` or an error code. */
  operation(kind: string, outcome: string, seconds: number): void {
    this.#operations.observe({ kind, outcome }, seconds);
  }

  /** A machine ended that nobody had told to. */
  vmmExited(): void {
    this.#vmmExits.inc();
  }

  bootSnapshotMade(seconds: number): void {
    this.#bootSnapshots.observe(seconds);
  }

  report(outcome: string): void {
    this.#reports.inc({ outcome });
  }

  /** Capsules by state, asked at each scrape. */
  watchCapsules(states: () => Iterable<CapsuleState>): void {
    this.#gauge("wrenn_capsules", "Capsules on this host, by state.", ["state"], (gauge) => {
      for (const state of states()) gauge.inc({ state });
    });
  }

  /** Network slots, asked at each scrape: those made ahead, and those that machines have. */
  watchSlots(counts: () => { ready: number; used: number }): void {
    this.#gauge("wrenn_network_slots", "Network slots, made ahead or in use.", ["state"], (gauge) => {
      const { ready, used } = counts();
      gauge.set({ state: "ready" }, ready);
      gauge.set({ state: "used" }, used);
    });
  }

  /** Machines that wait for a capsule, asked at each scrape. */
  watchPool(count: () => number): void {
    const help = "Machines that wait for a capsule to claim them.";
    this.#gauge("wrenn_pool_machines", help, [], (gauge) => gauge.set(count()));
  }

  /** Memory that machines were promised, and that may be, in MiB, asked at each scrape. */
  watchRoom(memory: () => { promisedMib: number; leftMib: number }): void {
    this.#gauge(
      "wrenn_room_memory_mebibytes",
      "Memory for machines, promised or left.",
      ["state"],
      (gauge) => {
        const { promisedMib, leftMib } = memory();
        gauge.set({ state: "promised" }, promisedMib);
        gauge.set({ state: "left" }, leftMib);
      },
    );
  }

  /** Changes that the control plane does not know yet, asked at each scrape. */
  watchReportLag(lag: () => number): void {
    const help = "Changes on this host that the control plane has not acknowledged.";
    this.#gauge("wrenn_report_lag_revisions", help, [], (gauge) => gauge.set(lag()));
  }

  #gauge(name: string, help: string, labelNames: string[], fill: (gauge: Gauge) => void): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.registry],
      collect() {
        this.reset();
        fill(this);
      },
    });
  }
}
