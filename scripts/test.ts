import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/**
 * Runs every suite, or those named, and ends with one line, `N passed, N failed`. `--long` runs those that take too long
 * for every change instead. A suite that exceeds its budget, or that ends
 * badly without naming a failed test, counts as one failed test: nothing fails silently.
 */
const root = resolve(import.meta.dirname, "..");

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

interface Suite {
  readonly name: string;
  readonly budgetMinutes: number;
  readonly run: (signal: AbortSignal) => Promise<Outcome>;
}

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program, shows what it prints, and answers that too. */
function run(command: string, args: readonly string[], signal: AbortSignal, cwd = root): Promise<Ended> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd, signal, stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString("utf8");
      process.stdout.write(chunk);
    });
    child.once("error", fail);
    child.once("close", (code) => done({ code, output }));
  });
}

function vitest(project: string): Suite["run"] {
  return async (signal) => {
    const dir = mkdtempSync(join(tmpdir(), "wrenn-test-"));
    try {
      const report = join(dir, "report.json");
      const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
      const { code } = await run("vitest", ["run", "--project", project, ...reporters], signal);
      const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
      return judged({ passed: numPassedTests, failed: numFailedTests }, code);
    } finally {
      rmSync(dir, { recursive: true });
    }
  };
}

async function cargo(signal: AbortSignal): Promise<Outcome> {
  // Cargo reads the crate's configuration from its working directory.
  const { code, output } = await run("cargo", ["test", "--locked"], signal, join(root, "envd"));
  let [passed, failed] = [0, 0];
  for (const match of output.matchAll(/^test result: \S+ (\d+) passed; (\d+) failed/gm)) {
    passed += Number(match[1]);
    failed += Number(match[2]);
  }
  return judged({ passed, failed }, code);
}

function judged({ passed, failed }: Outcome, code: number | null): Outcome {
  return code === 0 || failed > 0 ? { passed, failed } : { passed, failed: 1 };
}

const suites: readonly Suite[] = [
  { name: "envd", budgetMinutes: 8, run: cargo },
  { name: "unit", budgetMinutes: 4, run: vitest("unit") },
  { name: "machines", budgetMinutes: 5, run: vitest("machines") },
  { name: "guest-agent", budgetMinutes: 10, run: vitest("guest-agent") },
  { name: "platform", budgetMinutes: 8, run: vitest("platform") },
  { name: "integrity", budgetMinutes: 5, run: vitest("integrity") },
  { name: "faults", budgetMinutes: 5, run: vitest("faults") },
  { name: "chaos", budgetMinutes: 4, run: vitest("chaos") },
];

const longSuites: readonly Suite[] = [
  { name: "guest-agent-long", budgetMinutes: 20, run: vitest("guest-agent-long") },
  { name: "integrity-long", budgetMinutes: 20, run: vitest("integrity-long") },
  { name: "faults-long", budgetMinutes: 40, run: vitest("faults-long") },
];

const only = process.argv.slice(2).filter((name) => name !== "--long");
const chosen = process.argv.includes("--long") ? longSuites : suites;
const total = { passed: 0, failed: 0 };
for (const suite of chosen.filter(({ name }) => only.length === 0 || only.includes(name))) {
  process.stdout.write(`\n== ${suite.name} (budget ${suite.budgetMinutes} min)\n`);
  const started = performance.now();
  const outcome = await suite
    .run(AbortSignal.timeout(suite.budgetMinutes * 60_000))
    .catch((error: unknown) => {
      process.stderr.write(`${suite.name}: ${error instanceof Error ? error.message : error}\n`);
      return { passed: 0, failed: 1 };
    });
  total.passed += outcome.passed;
  total.failed += outcome.failed;
  process.stdout.write(`== ${suite.name} took ${((performance.now() - started) / 60_000).toFixed(1)} min\n`);
}
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);
