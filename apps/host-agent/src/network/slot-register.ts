import { randomBytes } from "node:crypto";
import { link, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@wrenn/contracts";

/**
 * Which agent of this machine has which slot: one file per slot, made whole and only once (link(2) refuses a name
 * that exists). It lies under /run, so it ends when the namespaces do.
 */
export class SlotRegister {
  readonly #owner: string;
  readonly #dir: string;

  /** @param owner what tells this agent from others of the machine: its data directory. */
  constructor(owner: string, dir = "/run/wrenn/slots") {
    this.#owner = owner;
    this.#dir = dir;
  }

  /** Takes an index; false when another agent, or this one, has it. */
  async claim(index: number): Promise<boolean> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const temporary = join(this.#dir, `.${randomBytes(8).toString("hex")}`);
    await writeFile(temporary, this.#owner, { flag: "wx", mode: 0o600 });
    try {
      await link(temporary, this.#path(index));
      return true;
    } catch (error) {
      if (errnoOf(error) === "EEXIST") return false;
      throw error;
    } finally {
      await rm(temporary);
    }
  }

  /** Gives an index back. */
  async release(index: number): Promise<void> {
    await rm(this.#path(index), { force: true });
  }

  /** Removes claims that an earlier life of this agent did not finish. Not while this one claims. */
  async removeUnfinished(): Promise<void> {
    const names = await readdir(this.#dir).catch(() => []);
    for (const name of names.filter((candidate) => candidate.startsWith("."))) {
      const owner = await readFile(join(this.#dir, name), "utf8").catch(() => undefined);
      if (owner === this.#owner) await rm(join(this.#dir, name), { force: true });
    }
  }

  /** The indexes that this agent has, from this life or an earlier one. */
  async mine(): Promise<number[]> {
    const names = await readdir(this.#dir).catch(() => []);
    const indexes: number[] = [];
    for (const name of names.filter((candidate) => /^\d+$/.test(candidate))) {
      const owner = await readFile(join(this.#dir, name), "utf8").catch(() => undefined);
      if (owner === this.#owner) indexes.push(Number(name));
    }
    return indexes;
  }

  #path(index: number): string {
    return join(this.#dir, String(index));
  }
}
