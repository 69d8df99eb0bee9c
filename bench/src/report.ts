import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join, resolve } from "node:path";

const directory = resolve(import.meta.dirname, "../results");

/** A suite's figures, and the bars that some of them have: a figure is good while it is at most its bar. */
export interface Report {
  readonly suite: string;
  readonly vmm: string;
  readonly metrics: Readonly<Record<string, number>>;
  readonly bars: Readonly<Record<string, { readonly atMost?: number; readonly atLeast?: number }>>;
}

/** Prints a table for people and writes `results/<suite>.json` for programs. */
export function writeReport(report: Report): void {
  for (const [name, value] of Object.entries(report.metrics)) {
    process.stdout.write(
      `${name.padEnd(24)} ${value.toFixed(2).padStart(12)}  ${barOf(report, name, value)}\n`,
    );
  }
  const machine = {
    cpu: cpus()[0]?.model ?? "",
    cores: cpus().length,
    memory_mib: Math.round(totalmem() / 2 ** 20),
  };
  const { suite, vmm, metrics } = report;
  mkdirSync(directory, { recursive: true });
  writeFileSync(
    join(directory, `${suite}.json`),
    `${JSON.stringify({ suite, machine, vmm, metrics }, undefined, 2)}\n`,
  );
}

function barOf({ bars }: Report, name: string, value: number): string {
  const bar = bars[name];
  if (bar?.atMost !== undefined)
    return `${value <= bar.atMost ? "meets" : "MISSES"} ≤ ${bar.atMost.toFixed(2)}`;
  if (bar?.atLeast !== undefined)
    return `${value >= bar.atLeast ? "meets" : "MISSES"} ≥ ${bar.atLeast.toFixed(2)}`;
  return "";
}
