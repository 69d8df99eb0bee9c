import { chmod, chown, link, mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { errnoOf } from "@wrenn/contracts";
import type { HandedOver, Place } from "./confiner.ts";

/** Name of the directory as machines see it, in the root of their jail. */
export const handoverName = "handover";

/**
 * A directory that the jails of this agent show to their machines, and the only one of ours. It is empty but for
 * moments: a file is linked into it while one machine opens it, below a directory that no other machine can enter and
 * that nobody can list. Links need the file system of what is handed over.
 */
export class Handover {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** @param path of the directory, which is emptied of what an agent that was killed left. */
  static async open(path: string): Promise<Handover> {
    await mkdir(path, { recursive: true, mode: 0o711 });
    await chmod(path, 0o711);
    for (const name of await readdir(path)) await rm(join(path, name), { recursive: true });
    return new Handover(path);
  }

  /** Lets the machine of a place open a file of the agent's. */
  async handOver(path: string, { index, uid }: Place, access: "read" | "write"): Promise<HandedOver> {
    await using undo = new AsyncDisposableStack();
    const dir = join(this.path, `${index}`);
    const name = basename(path);
    await mkdir(dir, { recursive: true });
    await chown(dir, 0, uid);
    await chmod(dir, 0o710);
    // Another file may come over meanwhile, and then its directory stays.
    undo.defer(() => removeIfEmpty(dir));
    const linked = join(dir, name);
    await rm(linked, { force: true });
    await link(path, linked);
    undo.defer(() => rm(linked, { force: true }));
    await chown(linked, 0, uid);
    undo.defer(() => chown(linked, 0, 0));
    await chmod(linked, access === "write" ? 0o660 : 0o640);
    undo.defer(() => chmod(linked, 0o600));
    const owned = undo.move();
    return { path: `/${handoverName}/${index}/${name}`, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }
}

async function removeIfEmpty(dir: string): Promise<void> {
  await rmdir(dir).catch((error: unknown) => {
    if (!["ENOTEMPTY", "ENOENT"].includes(errnoOf(error) ?? "")) throw error;
  });
}
