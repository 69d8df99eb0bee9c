import { globSync, readFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";

/**
 * Who may import whom, as data: apps import packages, packages only what is named here, and only the control plane
 * talks to the database. Run by `make check`; a violation fails it.
 */
const allowed: Record<string, readonly string[]> = {
  "packages/contracts": [],
  "packages/daemon": ["packages/contracts"],
  "packages/postgres": ["packages/contracts", "packages/daemon"],
  images: ["packages/contracts", "packages/daemon"],
  "apps/control-plane": ["packages/contracts", "packages/daemon", "packages/postgres"],
  "apps/host-agent": ["packages/contracts", "packages/daemon"],
  "apps/cli": ["packages/contracts", "packages/daemon", "packages/postgres", "images"],
  bench: ["packages/contracts", "packages/daemon", "test"],
  test: ["packages/contracts", "packages/daemon", "packages/postgres", "images"],
  scripts: [],
};

/** External packages that only the places named may import. */
const reserved: Record<string, readonly string[]> = {
  pg: ["apps/control-plane", "packages/postgres", "test"],
  kysely: ["apps/control-plane"],
  fastify: ["apps/control-plane"],
};

const workspaceOfPackage: Record<string, string> = {
  "@wrenn/contracts": "packages/contracts",
  "@wrenn/daemon": "packages/daemon",
  "@wrenn/postgres": "packages/postgres",
  "@wrenn/images": "images",
  "@wrenn/control-plane": "apps/control-plane",
  "@wrenn/host-agent": "apps/host-agent",
  "@wrenn/cli": "apps/cli",
  "@wrenn/test": "test",
};

const root = resolve(import.meta.dirname, "..");
const importPattern = /(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g;

/** Workspace of a file, or undefined for one that belongs to none. */
function workspaceOf(path: string): string | undefined {
  return Object.keys(allowed).find((workspace) => path.startsWith(`${workspace}/`));
}

function problemOf(file: string, specifier: string): string | undefined {
  const from = workspaceOf(file);
  if (!from) return undefined;
  const name = specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");
  const target = specifier.startsWith(".")
    ? workspaceOf(relative(root, resolve(root, dirname(file), specifier)))
    : workspaceOfPackage[name];
  if (target && target !== from && !allowed[from]?.includes(target))
    return `${from} must not import ${target}`;
  const owners = reserved[name];
  if (owners && !owners.includes(from)) return `only ${owners.join(", ")} may import ${name}`;
  return undefined;
}

let problems = 0;
for (const file of globSync("{apps,packages,images,bench,test,scripts}/**/*.ts", { cwd: root })) {
  if (file.includes("node_modules")) continue;
  const source = readFileSync(resolve(root, file), "utf8");
  for (const [, specifier] of source.matchAll(importPattern)) {
    const problem = specifier && problemOf(file, specifier);
    if (!problem) continue;
    problems += 1;
    process.stderr.write(`${file}: ${problem} (${specifier})\n`);
  }
}
process.exit(problems === 0 ? 0 : 1);
