import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/**
 * Runs every suite, or those named, and ends with one line, `N passed, N failed`. `--long` runs those that take too long
 * for every change instead. A suite that exceeds its budget, or that ends
 * badly without naming a failed test, counts as one failed test: nothing fails silently.
 *
 * Suites with machines run one after the other. They leave processors idle, so those without run beside them; what
 * these print is shown when they are done.
 */
const root = resolve(import.meta.dirname, "..");

interface Outcome {
  readonly passed: number;
  readonly failed: number;
}

/** Where a suite prints. */
type Print = (text: string | Uint8Array) => void;

interface Suite {
  readonly name: string;
  readonly budgetMinutes: number;
  /** Whether it starts machines. */
  readonly machines: boolean;
  readonly run: (signal: AbortSignal, print: Print) => Promise<Outcome>;
}

interface Ended {
  readonly code: number | null;
  readonly output: string;
}

interface Command {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
}

/** Runs a program, shows what it prints, and answers what it printed to its standard output. */
function run({ command, args, cwd }: Command, signal: AbortSignal, print: Print): Promise<Ended> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { cwd, signal, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString("utf8");
      print(chunk);
    });
    child.stderr.on("data", print);
    child.once("error", fail);
    child.once("close", (code) => done({ code, output }));
  });
}

function vitest(project: string): Suite["run"] {
  return async (signal, print) => {
    const dir = mkdtempSync(join(tmpdir(), "wrenn-test-"));
    try {
      const report = join(dir, "report.json");
      const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
      const args = ["run", "--project", project, ...reporters];
      const { code } = await run({ command: "vitest", args, cwd: root }, signal, print);
      const { numPassedTests, numFailedTests } = JSON.parse(readFileSync(report, "utf8"));
      return judged({ passed: numPassedTests, failed: numFailedTests }, code);
    } finally {
      rmSync(dir, { recursive: true });
    }
  };
}

async function cargo(signal: AbortSignal, print: Print): Promise<Outcome> {
  // Cargo reads the crate's configuration from its working directory.
  const command = { command: "cargo", args: ["test", "--locked"], cwd: join(root, "envd") };
  const { code, output } = await run(command, signal, print);
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
  // Beside machines, they take longer than alone.
  { name: "envd", budgetMinutes: 10, machines: false, run: cargo },
  { name: "unit", budgetMinutes: 8, machines: false, run: vitest("unit") },
  { name: "guest-agent", budgetMinutes: 10, machines: true, run: vitest("guest-agent") },
  { name: "machines", budgetMinutes: 5, machines: true, run: vitest("machines") },
  { name: "platform", budgetMinutes: 8, machines: true, run: vitest("platform") },
  { name: "integrity", budgetMinutes: 5, machines: true, run: vitest("integrity") },
  { name: "faults", budgetMinutes: 5, machines: true, run: vitest("faults") },
  { name: "chaos", budgetMinutes: 4, machines: true, run: vitest("chaos") },
];

const longSuites: readonly Suite[] = [
  { name: "guest-agent-long", budgetMinutes: 20, machines: true, run: vitest("guest-agent-long") },
  { name: "integrity-long", budgetMinutes: 20, machines: true, run: vitest("integrity-long") },
  { name: "faults-long", budgetMinutes: 40, machines: true, run: vitest("faults-long") },
];

const only = process.argv.slice(2).filter((name) => name !== "--long");
const chosen = process.argv.includes("--long") ? longSuites : suites;
const total = { passed: 0, failed: 0 };
const wanted = chosen.filter(({ name }) => only.length === 0 || only.includes(name));

const beside = runAll(
  wanted.filter(({ machines }) => !machines),
  heldBack,
);
await runAll(
  wanted.filter(({ machines }) => machines),
  shown,
);
await beside;
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed\n`);
process.exit(total.failed === 0 && total.passed > 0 ? 0 : 1);

async function runAll(those: readonly Suite[], open: () => { print: Print; close(): void }): Promise<void> {
  for (const suite of those) {
    const { print, close } = open();
    await runOne(suite, print);
    close();
  }
}

async function runOne(suite: Suite, print: Print): Promise<void> {
  print(`\n== ${suite.name} (budget ${suite.budgetMinutes} min)\n`);
  const started = performance.now();
  const signal = AbortSignal.timeout(suite.budgetMinutes * 60_000);
  const outcome = await suite.run(signal, print).catch((error: unknown) => {
    print(`${suite.name}: ${error instanceof Error ? error.message : error}\n`);
    return { passed: 0, failed: 1 };
  });
  total.passed += outcome.passed;
  total.failed += outcome.failed;
  print(`== ${suite.name} took ${((performance.now() - started) / 60_000).toFixed(1)} min\n`);
}

function shown(): { print: Print; close(): void } {
  return { print: (text) => process.stdout.write(text), close() {} };
}

/** Keeps what is printed until it is closed: then it comes in one piece. */
function heldBack(): { print: Print; close(): void } {
  const held: (string | Uint8Array)[] = [];
  return {
    print: (text) => held.push(text),
    close: () => process.stdout.write(Buffer.concat(held.map((text) => Buffer.from(text)))),
  };
}
