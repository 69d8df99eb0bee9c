import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

export const resultsDirectory = resolve(import.meta.dirname, "../results");

/** A suite's figures, and the bars that some of them have: a figure is good while it is at most its bar. */
export interface Report {
  readonly suite: string;
  readonly vmm: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly bars: Readonly<Record<string, Bar>>;
}

export interface Bar {
  readonly atMost?: number;
  readonly atLeast?: number;
}

/** Prints a table for people and writes `results/<suite>.json` for programs. */
export function writeReport(report: Report, machine: Record<string, string | number>): void {
  for (const [name, value] of Object.entries(report.metrics)) {
    process.stdout.write(
      `${name.padEnd(28)} ${value.toFixed(2).padStart(12)}  ${judged(value, report.bars[name])}\n`,
    );
  }
  const { suite, vmm, metrics } = report;
  mkdirSync(resultsDirectory, { recursive: true });
  writeFileSync(
    join(resultsDirectory, `${suite}.json`),
    `${JSON.stringify({ suite, machine, vmm, metrics }, undefined, 2)}\n`,
  );
}

function judged(value: number, bar: Bar | undefined): string {
  if (bar?.atMost !== undefined)
    return `${value <= bar.atMost ? "meets" : "MISSES"} ≤ ${bar.atMost.toFixed(2)}`;
  if (bar?.atLeast !== undefined)
    return `${value >= bar.atLeast ? "meets" : "MISSES"} ≥ ${bar.atLeast.toFixed(2)}`;
  return "";
}
