import { type PlatformAddress, startPlatform } from "@wrenn/test/support/platform-process";
import { createSuite } from "./create.ts";
import { type Report, writeReport } from "./report.ts";

const suites: Readonly<Record<string, (platform: PlatformAddress) => Promise<Report>>> = {
  create: createSuite,
};

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !Object.hasOwn(suites, name));
if (unknown !== undefined) {
  process.stderr.write(`error: there is no suite ${unknown}; there are ${Object.keys(suites).join(", ")}\n`);
  process.exit(1);
}

await using stack = new AsyncDisposableStack();
const platform = await startPlatform(stack);
for (const [name, run] of Object.entries(suites)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  process.stdout.write(`\n== ${name}\n`);
  writeReport(await run(platform));
}
