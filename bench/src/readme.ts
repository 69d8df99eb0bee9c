import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { resultsDirectory } from "./report.ts";

/** Writes the figures of the last `make bench` into the table of the README. `node bench/src/readme.ts` */
const readme = resolve(import.meta.dirname, "../../README.md");
const table = /(<!-- figures -->\n)[\s\S]*?(<!-- \/figures -->)/;

const rows: readonly [text: string, suite: string, metric: string, unit: string][] = [
  ["create: request to a guest that has its identity and answers", "create", "create_ms_p50", "ms"],
  ["the same, beside a bare restore of the snapshot", "create", "create_vs_raw", "×"],
  ["the same, when a machine of the pool waits for it", "create", "create_pooled_ms_p50", "ms"],
  ["pause of a capsule with 64 MiB changed", "pause", "pause_ms_p50", "ms"],
  ["resume at once after it", "pause", "resume_ms_p50", "ms"],
  ["the same, beside a bare restore of a snapshot", "pause", "resume_vs_raw", "×"],
  ["how long a fork stops its source, with 64 MiB changed", "fork", "fork_source_stop_ms_p50", "ms"],
  ["a command in a running capsule, through the API", "exec", "exec_ms_p50", "ms"],
  ["the same, beside a call straight to the guest agent", "exec", "exec_vs_direct", "×"],
  ["a stream out of a capsule, to a client", "exec", "stream_mb_s", "MB/s"],
  ["memory of an idle capsule of 512 MiB", "density", "private_mib_per_idle", "MiB"],
  ["the same, beside a machine without the platform", "density", "private_vs_raw", "×"],
  ["cores that 100 idle capsules use", "density", "idle_cores_per_100", ""],
  ["memory of the guest agent after 1000 processes", "envd", "rss_mib", "MiB"],
  ["a process in it, beside fork and exec of the same command", "envd", "spawn_vs_raw", "×"],
];

const lines = rows.map(([text, suite, metric, unit]) => `| ${text} | ${figure(suite, metric)} ${unit} |`);
const text = readFileSync(readme, "utf8");
if (!table.test(text)) throw new Error("README.md has no table between <!-- figures --> marks");
const head = ["| what | median |", "| --- | --- |"];
writeFileSync(readme, text.replace(table, `$1${[...head, ...lines].join("\n")}\n$2`));

function figure(suite: string, metric: string): string {
  const { metrics } = JSON.parse(readFileSync(join(resultsDirectory, `${suite}.json`), "utf8"));
  const value: number = metrics[metric];
  return value >= 10 ? value.toFixed(0) : value.toFixed(2);
}
