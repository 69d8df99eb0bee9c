import { WrennError } from "@wrenn/contracts";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Database } from "../database/connect.ts";
import { capsulesByState, hostsByStatus } from "./store.ts";

/** Seconds: from a query to a boot in software emulation. */
const buckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120];

/** What this control plane counts and measures. The names are part of what operators build on: add, never rename. */
export class Metrics {
  readonly registry = new Registry();
  readonly #requests: Counter<"method" | "route" | "status">;
  readonly #requestSeconds: Histogram<"method" | "route">;
  readonly #operations: Counter<"kind" | "outcome">;
  readonly #operationSeconds: Histogram<"kind">;
  readonly #reports: Counter<"outcome">;

  constructor(database: Database) {
    const registers = [this.registry];
    this.#requests = new Counter({
      name: "wrenn_http_requests_total",
      help: "Answered requests",
      labelNames: ["method", "route", "status"],
      registers,
    });
    this.#requestSeconds = new Histogram({
      name: "wrenn_http_request_duration_seconds",
      help: "From the head of a request to the end of its answer",
      labelNames: ["method", "route"],
      buckets,
      registers,
    });
    this.#operations = new Counter({
      name: "wrenn_capsule_operations_total",
      help: "Operations on capsules; the outcome is ok or an error's code",
      labelNames: ["kind", "outcome"],
      registers,
    });
    this.#operationSeconds = new Histogram({
      name: "wrenn_capsule_operation_duration_seconds",
      help: "Duration of operations on capsules, whatever their outcome",
      labelNames: ["kind"],
      buckets,
      registers,
    });
    this.#reports = new Counter({
      name: "wrenn_host_reports_total",
      help: "Reports of hosts, by what became of them",
      labelNames: ["outcome"],
      registers,
    });
    this.#watchDatabase(database);
  }

  /** Notes an answered request. The route is the pattern, so that there are no more of them than routes. */
  request(request: { method: string; route: string; status: number; seconds: number }): void {
    const { method, route, status, seconds } = request;
    this.#requests.inc({ method, route, status: String(status) });
    this.#requestSeconds.observe({ method, route }, seconds);
  }

  /** Runs an operation on a capsule, and notes how it went and how long it took. */
  async operation<T>(kind: string, work: () => Promise<T>): Promise<T> {
    const stop = this.#operationSeconds.startTimer({ kind });
    try {
      const result = await work();
      this.#operations.inc({ kind, outcome: "ok" });
      return result;
    } catch (error) {
      const outcome = error instanceof WrennError ? error.code : "internal_error";
      this.#operations.inc({ kind, outcome });
      throw error;
    } finally {
      stop();
    }
  }

  report(outcome: string): void {
    this.#reports.inc({ outcome });
  }

  /** Gauges that are asked for when somebody looks. Without the database they are absent, and the rest is not. */
  #watchDatabase({ kysely, pool }: Database): void {
    const registers = [this.registry];
    const gauge = (name: string, help: string, label: string, read: () => Promise<Map<string, number>>) =>
      new Gauge({
        name,
        help,
        labelNames: [label],
        registers,
        async collect() {
          this.reset();
          const values = await read().catch(() => new Map<string, number>());
          for (const [key, value] of values) this.set({ [label]: key }, value);
        },
      });
    gauge("wrenn_capsules", "Capsules that have not ended, by state", "state", () => capsulesByState(kysely));
    gauge("wrenn_hosts", "Hosts by status", "status", () => hostsByStatus(kysely));
    gauge("wrenn_database_connections", "Connections of the pool, and who waits for one", "use", async () => {
      const { totalCount, idleCount, waitingCount } = pool;
      return new Map([
        ["busy", totalCount - idleCount],
        ["idle", idleCount],
        ["waiting", waitingCount],
      ]);
    });
  }
}
