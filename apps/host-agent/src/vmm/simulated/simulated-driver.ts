import { open, writeFile } from "node:fs/promises";
import { checkDeviceState } from "../device-state.ts";
import { topLayer } from "../disk/chain.ts";
import type { AdoptSpec, BootSpec, FlattenSpec, Machine, RestoreSpec, Vmm } from "../vmm.ts";
import { SimulatedMachine } from "./simulated-machine.ts";
import { copyDisk, SimulatedParts } from "./simulated-parts.ts";

/**
 * A driver without a machine: a capsule is a guest agent on this host, as this user, without any isolation. It is
 * for tests of everything above the VMM, and passes the same conformance suite as the real drivers.
 */
export class SimulatedDriver implements Vmm {
  readonly name = "simulated";
  readonly version = "1";
  readonly network = "none";
  readonly #envdBinary: string;

  constructor(envdBinary: string) {
    this.#envdBinary = envdBinary;
  }

  async boot(spec: BootSpec, signal: AbortSignal): Promise<Machine> {
    await SimulatedParts.makeMemory(spec.memoryPath);
    await writeFile(spec.deviceStatePath, "", { mode: 0o600 });
    await this.#makeDisk(spec);
    const parts = await SimulatedParts.make(spec.runDir, spec.diskPath, spec.memoryPath);
    return await this.#launch(parts, spec.bootTokenSha256, signal);
  }

  async restore(spec: RestoreSpec, signal: AbortSignal): Promise<Machine> {
    const { snapshot, runDir, diskPath, tokenSha256 } = spec;
    const top = topLayer(snapshot.diskLayers);
    await using state = await open(snapshot.deviceStatePath, "r");
    await checkDeviceState(state, snapshot);
    await copyDisk(top.path, diskPath);
    const parts = await SimulatedParts.make(runDir, diskPath, snapshot.memoryPath);
    return await this.#launch(parts, tokenSha256, signal);
  }

  async adopt(spec: AdoptSpec): Promise<Machine | undefined> {
    return await SimulatedMachine.adopt(spec);
  }

  async flatten({ layers, path }: FlattenSpec): Promise<void> {
    const top = layers.at(-1);
    if (!top) throw new RangeError("there is nothing to flatten");
    await copyDisk(top.path, path);
  }

  /** What is raw is a real machine's file system, which is nothing to a guest agent on this host. */
  async #makeDisk({ diskLayers, diskPath }: BootSpec): Promise<void> {
    const top = topLayer(diskLayers);
    if (top.format === "qcow2") await copyDisk(top.path, diskPath);
    else await writeFile(diskPath, "", { mode: 0o600 });
  }

  async #launch(parts: SimulatedParts, tokenSha256: string, signal: AbortSignal): Promise<Machine> {
    return await SimulatedMachine.launch({ binary: this.#envdBinary, tokenSha256, parts }, signal);
  }
}
