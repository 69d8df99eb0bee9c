import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

/** Everything that is checked without running the code. All checks run; the first failure does not hide the next. */
const root = resolve(import.meta.dirname, "..");

interface Check {
  readonly name: string;
  readonly run: () => boolean;
}

function succeeds(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { cwd: root, stdio: "inherit" }).status === 0;
}

/** Cargo reads the crate's configuration from its working directory. */
function cargo(...args: string[]): boolean {
  return spawnSync("cargo", args, { cwd: join(root, "envd"), stdio: "inherit" }).status === 0;
}

/** Generates into an empty directory and compares: what is committed is what the protos say. */
function generatedIsCurrent(): boolean {
  const dir = mkdtempSync(join(tmpdir(), "wrenn-generate-"));
  try {
    const template = "packages/contracts/buf.gen.yaml";
    if (!succeeds("buf", "generate", "packages/contracts/proto", "--template", template, "--output", dir))
      return false;
    return succeeds("diff", "-r", join(dir, "packages/contracts/src/gen"), "packages/contracts/src/gen");
  } finally {
    rmSync(dir, { recursive: true });
  }
}

const checks: readonly Check[] = [
  { name: "format and lint", run: () => succeeds("biome", "check", "--error-on-warnings", ".") },
  { name: "types", run: () => succeeds("tsc", "--noEmit") },
  { name: "dependency directions", run: () => succeeds("node", "scripts/check-boundaries.ts") },
  { name: "file lengths", run: () => succeeds("node", "scripts/check-lengths.ts") },
  { name: "generated code", run: generatedIsCurrent },
  { name: "rustfmt", run: () => cargo("fmt", "--check") },
  {
    name: "clippy",
    run: () => cargo("clippy", "--quiet", "--locked", "--all-targets", "--", "-D", "warnings"),
  },
];

const failed = checks.filter((check) => {
  const started = performance.now();
  const ok = check.run();
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  process.stdout.write(`${ok ? "✓" : "✗"} ${check.name} (${seconds}s)\n`);
  return !ok;
});
process.exit(failed.length === 0 ? 0 : 1);
