import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Deployment } from "../support/deployment.ts";
import type { Model } from "./model.ts";

const historyLines = 60;
const logLines = 40;

/** Everything that is needed to find out why: what was violated, what was asked, and what the daemons said of it. */
export async function reportOf({ wrennDir }: Deployment, model: Model, seed: number): Promise<string> {
  const ids = [...new Set(model.violations.flatMap((text) => text.match(/cl[0-9a-z]{25}/g) ?? []))];
  const concerns = (line: string): boolean => ids.length === 0 || ids.some((id) => line.includes(id));
  const origins = ids.map((id) => model.capsules.get(id)?.origin ?? id);
  const history = model.history.filter(
    (line) =>
      concerns(line) || /KILL|VIOLATION|met/.test(line) || origins.some((name) => line.includes(name)),
  );
  const parts = [
    `${model.violations.length} violations (replay with WRENN_CHAOS_SEED=${seed}):`,
    ...model.violations.map((text) => `  ${text}`),
    "What the clients asked:",
    ...history.slice(-historyLines),
  ];
  for (const name of ["agent", "controlPlane"]) {
    const text = await readFile(join(wrennDir, "logs", `${name}.log`), "utf8").catch(() => "");
    const lines = text.split("\n").filter((line) => line !== "" && concerns(line));
    parts.push(`The log of ${name}:`, ...lines.slice(-logLines).map(shortened));
  }
  return parts.join("\n");
}

/** A line of a log without what is the same in all of them. Lines that are no JSON are what a crash said. */
function shortened(line: string): string {
  try {
    const { level, time, pid, hostname, name, reqId, msg, err, ...rest } = JSON.parse(line);
    const cause = err === undefined ? "" : ` (${err.code ?? err.type}: ${err.message})`;
    return `${String(time).slice(11, 23)} ${msg}${cause} ${JSON.stringify(rest)}`.slice(0, 400);
  } catch {
    return line.slice(0, 400);
  }
}
