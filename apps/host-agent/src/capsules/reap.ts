import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { isTemporary, type Logger } from "@wrenn/daemon";
import type { JournalContents } from "../journal/journal.ts";
import type { Layout } from "../layout.ts";
import { endPasst } from "../network/passt.ts";
import { findProcesses } from "../processes/find.ts";
import { endProcess } from "../processes/identity.ts";

/**
 * Removes what no capsule owns: machines, run directories, and files that were being replaced. While the journal of a
 * capsule cannot be read, anything might be that capsule's, so all of it stays. Snapshots and disk layers are for their
 * stores, which know who holds what.
 */
export async function reapOrphans(
  layout: Layout,
  { records, unreadable }: JournalContents,
  logger: Logger,
): Promise<void> {
  if (unreadable.length > 0) {
    logger.warn("orphans are kept: they may belong to a capsule whose journal cannot be read");
    return;
  }
  await reapTemporaries(layout);
  await reapRunDirs(layout, new Set(records.map(({ id, runDirName = id }) => runDirName)), logger);
}

/** Files that were being replaced when an earlier life of this agent ended; others keep files beside them. */
async function reapTemporaries(layout: Layout): Promise<void> {
  const { hostToken, host, hostKey, hostCertificate, caCertificate, epoch } = layout;
  const files = [hostToken, host, hostKey, hostCertificate, caCertificate, epoch];
  const ours = (path: string) =>
    dirname(path) === layout.journal || files.some((file) => path.startsWith(`${file}.`));
  for (const dir of [layout.root, layout.journal]) {
    for (const name of await readdir(dir)) {
      const path = join(dir, name);
      if (isTemporary(name) && ours(path)) await rm(path, { force: true });
    }
  }
}

async function reapRunDirs(layout: Layout, owners: ReadonlySet<string>, logger: Logger): Promise<void> {
  for (const name of await readdir(layout.machines)) {
    if (owners.has(name)) continue;
    const dir = join(layout.machines, name);
    for (const process of await findProcesses({ dir })) {
      logger.warn({ pid: process.pid, machine: name }, "ending a machine that nothing owns");
      await endProcess(process);
    }
    await endPasst(dir);
    await removeTree(dir);
  }
}

async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}
