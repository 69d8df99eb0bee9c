import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { syncDirectory } from "@wrenn/daemon";
import { abortable } from "../abortable.ts";
import type { Layout } from "../layout.ts";
import type { FlattenSpec, Vmm } from "../vmm/vmm.ts";

/** Flattens disks, one at a time: it is work for the host's disk, and nobody waits for much of it. */
export class Flattener {
  readonly #layout: Pick<Layout, "machines" | "layers">;
  readonly #vmm: Pick<Vmm, "flatten">;
  #before: Promise<unknown> = Promise.resolve();

  constructor(layout: Pick<Layout, "machines" | "layers">, vmm: Pick<Vmm, "flatten">) {
    this.#layout = layout;
    this.#vmm = vmm;
  }

  /** As `Vmm.flatten`. The caller holds the new layer; when this fails, what is there of it is of no use. */
  async flatten(spec: Omit<FlattenSpec, "id" | "runDir">, signal: AbortSignal): Promise<void> {
    const before = this.#before;
    const turn = Promise.withResolvers<void>();
    this.#before = Promise.all([before, turn.promise]);
    try {
      await abortable(before, signal);
      await this.#flatten(spec, signal);
    } finally {
      turn.resolve();
    }
  }

  async #flatten(spec: Omit<FlattenSpec, "id" | "runDir">, signal: AbortSignal): Promise<void> {
    const id = newId("disk");
    const runDir = join(this.#layout.machines, id);
    await using undo = new AsyncDisposableStack();
    undo.defer(() => rm(runDir, { recursive: true, force: true }));
    await mkdir(runDir, { mode: 0o700 });
    await this.#vmm.flatten({ id, runDir, ...spec }, signal);
    await syncDirectory(this.#layout.layers);
  }
}
