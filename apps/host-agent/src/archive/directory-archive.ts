import { createReadStream } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Readable } from "node:stream";
import { errnoOf, newId, WrennError } from "@wrenn/contracts";
import { syncDirectory } from "@wrenn/daemon";
import { type Archive, type Content, checkKey } from "./archive.ts";

/** What is being put, until it is complete. No key begins with a dot. */
const incoming = ".incoming";

/** An archive that is a directory: of this host, or one that hosts share. */
export class DirectoryArchive implements Archive {
  readonly #dir: string;
  readonly #incoming: string;

  private constructor(dir: string, instance: string) {
    this.#dir = dir;
    this.#incoming = join(dir, `${incoming}-${instance}`);
  }

  /**
   * Removes what an interrupted put has left.
   *
   * @param instance names the agent among those that share the directory.
   */
  static async open(dir: string, instance: string): Promise<DirectoryArchive> {
    const archive = new DirectoryArchive(dir, instance);
    await rm(archive.#incoming, { recursive: true, force: true });
    await mkdir(archive.#incoming, { recursive: true, mode: 0o700 });
    return archive;
  }

  async put(key: string, content: Content, signal: AbortSignal): Promise<void> {
    const path = this.#path(key);
    const temporary = join(this.#incoming, newId("disk"));
    try {
      await using file = await open(temporary, "wx", 0o600);
      for await (const piece of content) {
        signal.throwIfAborted();
        await writeAll(file, piece);
      }
      await file.sync();
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    for (let dir = dirname(path); dir.startsWith(this.#dir); dir = dirname(dir)) await syncDirectory(dir);
  }

  async get(key: string, signal: AbortSignal): Promise<Readable> {
    const path = this.#path(key);
    const file = await open(path, "r").catch((cause: unknown) => {
      if (errnoOf(cause) !== "ENOENT") throw cause;
      throw new WrennError("not_found", `${key} is not in the archive`, { cause });
    });
    return createReadStream(path, { fd: file, signal });
  }

  async delete(key: string): Promise<void> {
    const path = this.#path(key);
    await rm(path, { force: true });
    // The directory goes with the last that is in it.
    await rmdir(dirname(path)).catch(() => {});
  }

  async list(prefix: string): Promise<string[]> {
    const parent = prefix.replace(/\/$/, "");
    const entries = await readdir(this.#path(parent), { withFileTypes: true, recursive: true }).catch(
      () => [],
    );
    const files = entries.filter((entry) => entry.isFile());
    return files.map(({ parentPath, name }) => join(parentPath, name).slice(this.#dir.length + 1)).sort();
  }

  #path(key: string): string {
    checkKey(key);
    return join(this.#dir, key);
  }
}

async function writeAll(file: FileHandle, piece: Uint8Array): Promise<void> {
  for (let done = 0; done < piece.length; ) {
    done += (await file.write(piece, done, piece.length - done)).bytesWritten;
  }
}
