import { copyFile, readFile, writeFile } from "node:fs/promises";
import type { AdoptSpec, BootSpec, DiskLayer, Machine, RestoreSpec, Vmm } from "../vmm.ts";
import { SimulatedMachine } from "./simulated-machine.ts";

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

  async makeLayer(_below: DiskLayer, path: string): Promise<void> {
    await writeFile(path, "", { mode: 0o600 });
  }

  async boot(spec: BootSpec, signal: AbortSignal): Promise<Machine> {
    // The one thing that a guest's memory holds here is the digest of the token it was booted with.
    await writeFile(spec.memoryPath, spec.bootTokenSha256, { mode: 0o600 });
    await writeFile(spec.deviceStatePath, "", { mode: 0o600 });
    await writeFile(spec.diskPath, "", { mode: 0o600 });
    return await SimulatedMachine.launch(this.#envdBinary, spec.runDir, spec.bootTokenSha256, signal);
  }

  async restore(spec: RestoreSpec, signal: AbortSignal): Promise<Machine> {
    await copyFile(spec.snapshot.emptyLayerPath, spec.diskPath);
    const bootTokenSha256 = await readFile(spec.snapshot.memoryPath, "utf8");
    return await SimulatedMachine.launch(this.#envdBinary, spec.runDir, bootTokenSha256, signal);
  }

  async adopt(spec: AdoptSpec): Promise<Machine | undefined> {
    return await SimulatedMachine.adopt(spec);
  }
}
