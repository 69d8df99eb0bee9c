import { copyFile, open, readlink, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "@wrenn/daemon";
import { PageRuns, pageBytes } from "../memory/page-runs.ts";

/** Memory of every simulated guest, whatever its size. */
const memoryBytes = 16 * pageBytes;

/** Names in the run directory. What a guest writes to `memory` and `disk` there is what a machine keeps for it. */
const names = { memory: "memory", base: "memory-base", disk: "disk" } as const;

/** Pages of a memory, and what is in them. */
export interface DirtyMemory {
  readonly runs: PageRuns;
  readonly pages: readonly Buffer[];
}

/**
 * What a simulated machine has in the place of memory and disk: two files that whoever works in its guest writes. A disk
 * layer is a whole disk here.
 */
export class SimulatedParts {
  readonly runDir: string;
  readonly memoryBytes = memoryBytes;
  #layers: readonly string[];

  private constructor(runDir: string, layers: readonly string[]) {
    this.runDir = runDir;
    this.#layers = layers;
  }

  get layers(): readonly string[] {
    return this.#layers;
  }

  /** The file that is the disk. */
  get diskPath(): string {
    return this.#layers.at(-1) ?? "";
  }

  /** Memory of a guest that has just been booted. */
  static async makeMemory(path: string): Promise<void> {
    await writeFile(path, Buffer.alloc(memoryBytes), { mode: 0o600 });
  }

  /** @param memoryPath the image that the memory starts from. */
  static async make(runDir: string, diskPath: string, memoryPath: string): Promise<SimulatedParts> {
    for (const name of [names.memory, names.base]) await copyFile(memoryPath, join(runDir, name));
    await symlink(diskPath, join(runDir, names.disk));
    return new SimulatedParts(runDir, [diskPath]);
  }

  static async recognise(runDir: string, layers: readonly string[]): Promise<SimulatedParts> {
    const top = layers.indexOf(await readlink(join(runDir, names.disk)));
    return new SimulatedParts(runDir, layers.slice(0, top + 1));
  }

  /** The pages that are not as they were at the start. */
  async dirtyMemory(): Promise<DirtyMemory> {
    const [memory, base] = [await this.#read(names.memory), await this.#read(names.base)];
    const runs = new PageRuns();
    const pages: Buffer[] = [];
    for (let at = 0; at < memoryBytes; at += pageBytes) {
      const page = memory.subarray(at, at + pageBytes);
      if (page.equals(base.subarray(at, at + pageBytes))) continue;
      runs.add(at / pageBytes, 1);
      pages.push(page);
    }
    return { runs, pages };
  }

  /** Leaves the disk's file as it is for ever, and goes on with a copy of it. */
  async goOver(path: string): Promise<void> {
    await copyDisk(this.diskPath, path);
    const link = join(this.runDir, names.disk);
    await symlink(path, `${link}.new`);
    await rename(`${link}.new`, link);
    this.#layers = [...this.#layers, path];
  }

  /** Every layer is a whole disk, so there is nothing to copy. */
  shorten(): void {
    this.#layers = this.#layers.slice(-1);
  }

  /** Exactly the memory's bytes, whatever the guest has made of the file. */
  async #read(name: string): Promise<Buffer> {
    await using file = await open(join(this.runDir, name), "r");
    const buffer = Buffer.alloc(memoryBytes);
    await file.read(buffer, 0, memoryBytes, 0);
    return buffer;
  }
}

/** Copies a disk, which may be large and is mostly holes. */
export async function copyDisk(from: string, to: string): Promise<void> {
  await runCommand("cp", ["--reflink=auto", "--sparse=always", "--", from, to]);
}
