import { randomBytes } from "node:crypto";
import { access, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { runCommand, syncDirectory, writeFileAtomic } from "@wrenn/daemon";
import type { PostgresBinaries } from "./binaries.ts";
import { confine } from "./confine.ts";
import type { Layout } from "./layout.ts";

/** Major version of the PostgreSQL we ship; a cluster belongs to one. */
export const majorVersion = "18";

/** Owns the database, and nothing else. */
export const databaseRole = "wrenn";
export const databaseName = "wrenn";
/** For maintenance: backups, and making databases in tests. */
export const adminRole = "postgres";

/** Begins the name of a cluster that is being made. */
const unfinishedPrefix = "data.new-";

/**
 * Makes the cluster, unless there is one: beside its place, complete with role and database, and then renamed. So
 * whatever interrupts it, there is a whole cluster or none.
 */
export async function ensureCluster(
  layout: Layout,
  binaries: PostgresBinaries,
  signal?: AbortSignal,
): Promise<{ password: string; created: boolean }> {
  await removeUnfinished(layout);
  if (await hasCluster(layout)) return { password: await readPassword(layout), created: false };

  const password = randomBytes(32).toString("hex");
  await writeFileAtomic(layout.password, password);
  const unfinished = join(layout.dir, `${unfinishedPrefix}${randomBytes(6).toString("hex")}`);
  try {
    await initialise(unfinished, layout.password, binaries, signal);
    await makeRoleAndDatabase(unfinished, password, binaries, signal);
    await rename(unfinished, layout.data);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
  await syncDirectory(layout.dir);
  return { password, created: true };
}

async function hasCluster(layout: Layout): Promise<boolean> {
  const version = await readFile(join(layout.data, "PG_VERSION"), "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  if (version === undefined) return refuseForeignDirectory(layout);
  if (version.trim() === majorVersion) return true;
  throw new WrennError(
    "config_invalid",
    `${layout.data} was made by PostgreSQL ${version.trim()} and this is ${majorVersion}; ` +
      "dump it with the old version, move it away, and load the dump after the next start",
  );
}

/** A directory in our place that is not a cluster is not ours to replace. */
async function refuseForeignDirectory(layout: Layout): Promise<false> {
  const there = await access(layout.data).then(
    () => true,
    () => false,
  );
  if (!there) return false;
  throw new WrennError("config_invalid", `${layout.data} is not a PostgreSQL cluster; move it away`);
}

async function readPassword(layout: Layout): Promise<string> {
  const password = await readFile(layout.password, "utf8").catch((cause: unknown) => {
    const sentence = `${layout.password} cannot be read; restore it, or move ${layout.dir} away to start anew`;
    throw new WrennError("config_invalid", sentence, { cause });
  });
  return password.trim();
}

async function removeUnfinished(layout: Layout): Promise<void> {
  const names = await readdir(layout.dir);
  for (const name of names.filter((entry) => entry.startsWith(unfinishedPrefix))) {
    await rm(join(layout.dir, name), { recursive: true, force: true });
  }
}

async function initialise(
  dataDir: string,
  passwordFile: string,
  { initdb, env }: PostgresBinaries,
  signal?: AbortSignal,
): Promise<void> {
  const args = [
    `--pgdata=${dataDir}`,
    `--username=${adminRole}`,
    `--pwfile=${passwordFile}`,
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    // Sorts by code point wherever it runs: a new libc cannot make an index wrong.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--no-instructions",
  ];
  const command = confine({ program: initdb, args }, "KILL");
  await runCommand(command.program, command.args, { env, signal });
}

/** In single-user mode, so that the password goes in on standard input and nobody can connect meanwhile. */
async function makeRoleAndDatabase(
  dataDir: string,
  password: string,
  { postgres, env }: PostgresBinaries,
  signal?: AbortSignal,
): Promise<void> {
  const statements = [
    `CREATE ROLE ${databaseRole} LOGIN PASSWORD '${password}';`,
    `CREATE DATABASE ${databaseName} OWNER ${databaseRole};`,
  ];
  // Echoing a failed statement would put the password into our log.
  const args = ["--single", "-D", dataDir, "-c", "log_min_error_statement=panic", "-c", "exit_on_error=true"];
  const command = confine({ program: postgres, args: [...args, adminRole] }, "KILL");
  await runCommand(command.program, command.args, { env, signal, input: `${statements.join("\n")}\n` });
}
