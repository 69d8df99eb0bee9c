import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join, resolve } from "node:path";
import { bundle } from "./build/bundle.ts";
import { makeExecutable } from "./build/executable.ts";
import { packPostgres } from "./build/postgres-archive.ts";
import { type Program, programs } from "./build/programs.ts";
import { run } from "./build/run.ts";

/**
 * Makes the executables, each complete in itself, in `builds/` or the directory that is named. The reasons are in
 * docs/decisions/0011-single-executables.md.
 */
const root = resolve(import.meta.dirname, "..");
const target = resolve(process.argv[2] ?? join(root, "builds"));

interface Made {
  readonly envd: string;
  readonly postgres: string;
  readonly commit: string;
}

/** The commit that is built, and whether something was changed on top of it. */
async function describeCommit(): Promise<string> {
  try {
    const commit = await run("git", ["rev-parse", "--short=12", "HEAD"], root);
    const changes = await run("git", ["status", "--porcelain"], root);
    return changes === "" ? commit : `${commit} with changes`;
  } catch {
    return "unknown commit"; // an unpacked archive, say
  }
}

async function step<T>(name: string, work: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const result = await work();
  process.stderr.write(`✓ ${name} (${((performance.now() - started) / 1000).toFixed(1)} s)\n`);
  return result;
}

async function make(program: Program, made: Made, work: string): Promise<void> {
  const script = join(work, `${program.name}.cjs`);
  await bundle(root, program.entry, script);
  const assets: Record<string, string> = { commit: made.commit };
  for (const file of program.files) assets[file] = join(root, file);
  if (program.carriesPostgres) assets[`postgres/${basename(made.postgres)}`] = made.postgres;
  if (program.carriesEnvd) assets.envd = made.envd;
  const parts = { name: program.name, script, assets };
  await makeExecutable(root, parts, work, join(target, program.name));
}

/** Beside, and renamed: also over one that runs. */
function placeEnvd(envd: string, work: string): void {
  const copy = join(work, "envd");
  copyFileSync(envd, copy);
  chmodSync(copy, 0o755);
  renameSync(copy, join(target, "envd"));
}

mkdirSync(target, { recursive: true });
const work = mkdtempSync(join(target, ".work-"));
try {
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  const envd = join(root, `envd/target/${machine}-unknown-linux-gnu/release/envd`);
  placeEnvd(envd, work);
  const commit = join(work, "commit");
  writeFileSync(commit, await describeCommit());
  const postgres = await step("PostgreSQL packed", () => packPostgres(root, work));
  // One after the other: putting a program into Node takes 1.6 GiB of memory for a few seconds.
  for (const program of programs(root)) {
    await step(program.name, () => make(program, { envd, postgres, commit }, work));
  }
} finally {
  rmSync(work, { recursive: true });
}
for (const name of [...programs(root).map((program) => program.name), "envd"]) {
  const path = join(target, name);
  process.stdout.write(`${(statSync(path).size / 2 ** 20).toFixed(0).padStart(4)} MiB  ${path}\n`);
}
