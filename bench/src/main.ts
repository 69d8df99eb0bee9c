import { startPlatform } from "@wrenn/test/support/platform-process";
import { createSuite } from "./create.ts";
import { densitySuite } from "./density.ts";
import { envdSuite } from "./envd.ts";
import { execSuite } from "./exec.ts";
import { forkSuite } from "./fork.ts";
import { machineFacts } from "./machine-facts.ts";
import { pauseSuite } from "./pause.ts";
import type { MeasuredPlatform } from "./platform.ts";
import { type Report, writeReport } from "./report.ts";

const suites: Readonly<Record<string, (platform: MeasuredPlatform) => Promise<Report>>> = {
  create: createSuite,
  exec: execSuite,
  pause: pauseSuite,
  fork: forkSuite,
  density: densitySuite,
  envd: envdSuite,
};

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(suites, name));
if (unknown !== undefined) {
  process.stderr.write(`error: there is no suite ${unknown}; there are ${Object.keys(suites).join(", ")}\n`);
  process.exit(1);
}

for (const [name, run] of Object.entries(suites)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  process.stdout.write(`\n== ${name}\n`);
  const machine = machineFacts();
  // A platform of its own for each: what one suite leaves in a daemon's memory is not another's.
  await using stack = new AsyncDisposableStack();
  const started = performance.now();
  writeReport(await run(await startPlatform(stack)), machine);
  process.stdout.write(`took ${((performance.now() - started) / 1000).toFixed(0)} s\n`);
}
