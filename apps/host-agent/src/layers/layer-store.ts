import { readdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { newId } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import { Holders } from "./holders.ts";

/** Who holds which layer. */
export interface HeldLayer {
  readonly path: string;
  readonly holder: string;
}

/**
 * The disk layers of this host. Each is at its final path from birth, since a live freeze leaves one to snapshots while a
 * machine goes on standing on it. A layer is there as long as a snapshot or a capsule holds it.
 */
export class LayerStore {
  readonly #dir: string;
  readonly #holders = new Holders();

  private constructor(dir: string) {
    this.#dir = dir;
  }

  /** @param held what capsules of an earlier life of the agent hold. Snapshots hold theirs when they are opened. */
  static open(dir: string, held: Iterable<HeldLayer> = []): LayerStore {
    const layers = new LayerStore(dir);
    for (const { path, holder } of held) layers.hold(path, holder);
    return layers;
  }

  /** A path for a new layer, which the caller holds before it makes the file. */
  newPath(): string {
    return join(this.#dir, `${newId("disk")}.qcow2`);
  }

  /** Keeps a layer. A raw image lies elsewhere and is nobody's to remove, so holding it is nothing. */
  hold(path: string, holder: string): void {
    if (this.#isOurs(path)) this.#holders.add(path, holder);
  }

  /** Lets go of a layer; with its last holder the file goes. Doing it again is fine. */
  async release(path: string, holder: string): Promise<void> {
    if (this.#isOurs(path) && this.#holders.remove(path, holder)) await rm(path, { force: true });
  }

  /** Who holds a layer. */
  holders(path: string): ReadonlySet<string> {
    return this.#holders.of(path);
  }

  /** Lets go of everything that a holder holds. */
  async releaseAll(holder: string): Promise<void> {
    for (const path of this.#holders.heldBy(holder)) await this.release(path, holder);
  }

  /**
   * Holds what is there, because something that cannot be read may need it: all of it, since layers are shared; or only
   * what nobody is known to hold.
   */
  async holdAll(holder: string, which: "all" | "unheld" = "all"): Promise<void> {
    for (const name of await readdir(this.#dir)) {
      const path = join(this.#dir, name);
      if (which === "all" || !this.#holders.isHeld(path)) this.hold(path, holder);
    }
  }

  /** Removes what nobody holds. Only while nothing else is made or held. */
  async reap(logger: Logger): Promise<void> {
    for (const name of await readdir(this.#dir)) {
      const path = join(this.#dir, name);
      if (this.#holders.isHeld(path)) continue;
      logger.warn({ layer: name }, "removing a disk layer that nothing refers to");
      await rm(path, { recursive: true, force: true });
    }
  }

  #isOurs(path: string): boolean {
    return dirname(path) === this.#dir;
  }
}
