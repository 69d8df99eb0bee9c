import { createHash } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import type { CapsuleSize } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { inject } from "vitest";
import { OwnUser } from "../../confinement/own-user.ts";
import { Walls } from "../../confinement/walls.ts";
import { GuestAgent } from "../../guest/guest-agent.ts";
import { runInGuest } from "../../guest/run-in-guest.ts";
import { waitForGuest } from "../../guest/wait-for-guest.ts";
import { HostRules } from "../../network/host-rules.ts";
import { findNameserver } from "../../network/nameserver.ts";
import type { NetworkSlot } from "../../network/slot.ts";
import { SlotPool } from "../../network/slot-pool.ts";
import { SlotRegister } from "../../network/slot-register.ts";
import { findKernel } from "../../templates/kernel.ts";
import { TemplateStore } from "../../templates/template-store.ts";
import { type Frozen, savedParts } from "../frozen.ts";
import { mergeMemory } from "../memory/merge.ts";
import { QemuDriver, qemuVersion } from "../qemu/qemu-driver.ts";
import { SimulatedDriver } from "../simulated/simulated-driver.ts";
import type { AdoptSpec, BootSpec, DiskLayer, Machine, MachineSnapshot, MachineSpec, Vmm } from "../vmm.ts";

export type OpenVmm = (stack: AsyncDisposableStack, dir: string) => Promise<Vmm>;

/**
 * What every driver does alike, the simulated one included, is in the suites of this folder. A driver that fails there is
 * not a driver; one that passes may be used by everything above it.
 */
export const drivers: readonly [string, OpenVmm][] = [
  ["qemu", openQemu],
  ["simulated", async () => new SimulatedDriver(inject("envdBinary"))],
];

export async function openQemu(stack: AsyncDisposableStack, dir: string): Promise<QemuDriver> {
  const walls = await Walls.open({ instance: "conformance", handoverDir: join(dir, "handover") }, signal);
  return QemuDriver.open({
    version: await qemuVersion(),
    accelerator: "tcg",
    network: "slot",
    confiner: stack.use(walls),
  });
}

/** As an agent does that is not root, but for the user: no walls, and a network that needs no privilege. */
export async function openUnwalledQemu(): Promise<QemuDriver> {
  const version = await qemuVersion();
  return QemuDriver.open({ version, accelerator: "tcg", network: "passt", confiner: new OwnUser() });
}

/** Opens the guest of everything here: nobody claims it. */
export const bootToken = "conformance";
export const { signal } = new AbortController();

/** Files of a guest in its memory and on its disk, as paths for programs in it. */
export interface GuestFiles {
  readonly memory: string;
  readonly disk: string;
  /** Program and arguments that print the one on the disk, as it is there. */
  readonly readDisk: string;
}

/** A machine with the way into its guest. */
export interface Guest extends GuestFiles {
  readonly machine: Machine;
  readonly id: string;
  readonly agent: GuestAgent;
  /** What it was restored from. */
  readonly from: MachineSnapshot;
  /** Runs a line of shell in it and answers what that prints. */
  sh(line: string): Promise<string>;
}

/** A driver with what its machines need, all of it gone with the stack. */
export class Bench {
  readonly vmm: Vmm;
  readonly dir: string;
  readonly #slots: SlotPool | undefined;
  readonly #slotOf = new Map<string, NetworkSlot | undefined>();
  /** What the present test started. */
  #guests = new AsyncDisposableStack();

  private constructor(vmm: Vmm, dir: string, slots: SlotPool | undefined) {
    this.vmm = vmm;
    this.dir = dir;
    this.#slots = slots;
  }

  static async open(open: OpenVmm, stack: AsyncDisposableStack): Promise<Bench> {
    const dir = await mkdtemp(join(tmpdir(), "wrenn-vmm-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    await chmod(dir, 0o711);
    const vmm = await open(stack, dir);
    if (vmm.network !== "slot") return Bench.#use(new Bench(vmm, dir, undefined), stack);
    const nameserver = await findNameserver();
    const rules = await HostRules.open("conformance", nameserver, [], signal);
    const register = new SlotRegister(dir);
    const logger = makeLogger("conformance", "error");
    const slots = stack.use(SlotPool.open({ register, rules, nameserver, logger }));
    return Bench.#use(new Bench(vmm, dir, slots), stack);
  }

  static #use(bench: Bench, stack: AsyncDisposableStack): Bench {
    stack.defer(() => bench.clear());
    return bench;
  }

  /** Ends every machine. Their disks stay, for what stands on them. */
  async clear(): Promise<void> {
    const guests = this.#guests;
    this.#guests = new AsyncDisposableStack();
    await guests.disposeAsync();
  }

  /** Done when the machines of the present test are ended, in the reverse order of all that. */
  defer(release: () => Promise<void>): void {
    this.#guests.defer(release);
  }

  runDir(id: string): string {
    return join(this.dir, id);
  }

  async spec(id: string, size: CapsuleSize): Promise<MachineSpec> {
    const runDir = this.runDir(id);
    await mkdir(runDir);
    // Passt gives up being root before it writes there.
    if (this.vmm.network === "passt") await chmod(runDir, 0o777);
    const slot = await this.#slots?.acquire(signal);
    this.#slotOf.set(id, slot);
    if (slot) this.#guests.defer(async () => await this.#slots?.release(slot));
    return { id, runDir, diskPath: join(this.dir, `${id}.qcow2`), size, slot, maxDiskBytes: 8 * 2 ** 30 };
  }

  /** Boots the template, runs a program in it, and stops it. */
  async boot(size: CapsuleSize): Promise<MachineSnapshot> {
    const image = await new TemplateStore(join(inject("imagesDir"), "images")).resolve("minimal");
    return await this.bootFrom("boot", [{ path: image.rootfsPath, format: "raw" }], size);
  }

  /** The same from any disk. */
  async bootFrom(id: string, diskLayers: readonly DiskLayer[], size: CapsuleSize): Promise<MachineSnapshot> {
    const kernel = await findKernel(join(inject("imagesDir"), "kernels"));
    const spec: BootSpec = {
      ...(await this.spec(id, size)),
      ...kernel,
      diskLayers,
      memoryPath: join(this.dir, `${id}-memory`),
      deviceStatePath: join(this.dir, `${id}-device-state`),
      bootTokenSha256: createHash("sha256").update(bootToken).digest("hex"),
    };
    const machine = this.#guests.use(await this.vmm.boot(spec, signal));
    await using agent = new GuestAgent(machine.guestUrl, bootToken);
    await waitForGuest(agent, machine, 60_000, signal);
    await runInGuest(agent, "true", [], signal);
    await machine.saveAndEnd();
    return {
      memoryPath: spec.memoryPath,
      deviceStatePath: spec.deviceStatePath,
      diskLayers: [...diskLayers, { path: spec.diskPath, format: "qcow2" }],
    };
  }

  async restore(
    id: string,
    from: MachineSnapshot,
    size: CapsuleSize,
    other: Partial<MachineSpec> = {},
  ): Promise<Guest> {
    const tokenSha256 = createHash("sha256").update(bootToken).digest("hex");
    const spec = { ...(await this.spec(id, size)), ...other, snapshot: from, tokenSha256 };
    const machine = this.#guests.use(await this.vmm.restore(spec, signal));
    await machine.started;
    const guest = this.#guest(id, machine, from);
    // Passt tries once to reach a guest that it has not heard of yet.
    if (this.vmm.network === "passt") await waitForGuest(guest.agent, machine, 30_000, signal);
    return guest;
  }

  /** Lets go of a machine and takes it over, as the next life of an agent does. */
  async adopt({ machine, id, from }: Guest): Promise<Guest> {
    const spec = this.adoptSpec(id, machine);
    machine.detach();
    const adopted = await this.vmm.adopt(spec, signal);
    if (!adopted) throw new Error(`${id} has ended`);
    return this.#guest(id, this.#guests.use(adopted), from);
  }

  /** What a journal notes: also a layer that the machine never went over to. */
  adoptSpec(id: string, { process, guestUrl, ownLayers }: Machine): AdoptSpec {
    const noted = [...ownLayers, join(this.dir, "never-used.qcow2")];
    return { process, guestUrl, runDir: this.runDir(id), ownLayers: noted, slot: this.#slotOf.get(id) };
  }

  /** Freezes a guest and ends its machine: what a pause is. */
  async pause(guest: Guest): Promise<MachineSnapshot> {
    const frozen = await guest.machine.freeze({}, signal);
    const snapshot = await this.#save(frozen, guest);
    await frozen.end();
    return snapshot;
  }

  /** Takes a snapshot of a guest that runs on. */
  async snapshot(guest: Guest): Promise<MachineSnapshot> {
    const frozen = await guest.machine.freeze({ nextLayerPath: this.nextLayer(guest) }, signal);
    await frozen.thaw();
    return await this.#save(frozen, guest);
  }

  nextLayer({ id }: Guest): string {
    return join(this.dir, `${id}-${this.#names++}.qcow2`);
  }
  #names = 0;

  async #save(frozen: Frozen, { from }: Guest): Promise<MachineSnapshot> {
    const dir = join(this.dir, `snapshot-${this.#names++}`);
    await mkdir(dir);
    const [basePath, baseId] = [from.memoryPath, basename(dirname(from.memoryPath))];
    // Every other one leaves the merging to a merge.
    const saved = await frozen.save({ dir, baseId, ...(this.#names % 4 < 2 ? { basePath } : {}) }, signal);
    const memoryPath = join(dir, savedParts.memory);
    const diffPath = join(dir, savedParts.memoryDiff);
    await mergeMemory({ basePath, baseId, diffPath, targetPath: memoryPath }, signal);
    const own = frozen.ownLayers.map((path) => ({ path, format: "qcow2" as const }));
    const deviceStatePath = join(dir, savedParts.deviceState);
    return { memoryPath, deviceStatePath, ...saved, diskLayers: [...from.diskLayers, ...own] };
  }

  #guest(id: string, machine: Machine, from: MachineSnapshot): Guest {
    const agent = this.#guests.use(new GuestAgent(machine.guestUrl, bootToken));
    const sh = (line: string) => runInGuest(agent, "/bin/sh", ["-ec", line], signal);
    const files = this.vmm.name === "simulated" ? this.#simulatedFiles(id) : virtualFiles;
    return { id, machine, agent, from, sh, ...files };
  }

  #simulatedFiles(id: string): GuestFiles {
    const disk = join(this.runDir(id), "disk");
    return { memory: join(this.runDir(id), "memory"), disk, readDisk: `cat ${disk}` };
  }
}

const virtualFiles: GuestFiles = {
  memory: "/dev/shm/pattern",
  disk: "/root/pattern",
  // Past the kernel's cache, which is memory.
  readDisk: "dd if=/root/pattern bs=64K iflag=direct status=none",
};

/** Fills a file of a guest with what nobody can guess, all of it written through. @returns its digest. */
export async function fill({ sh }: Guest, path: string, kib = 64): Promise<string> {
  const write = `head -c ${kib}K /dev/urandom | dd of=${path} bs=64K iflag=fullblock conv=notrunc,fsync status=none`;
  return await sh(`${write}; sha256sum < ${path}`);
}

export async function digest(guest: Guest, path: string): Promise<string> {
  return await guest.sh(`${path === guest.disk ? guest.readDisk : `cat ${path}`} | sha256sum`);
}

/** Digests of what {@link fill} wrote to memory and disk. */
export async function digests(guest: Guest): Promise<string[]> {
  return [await digest(guest, guest.memory), await digest(guest, guest.disk)];
}

export async function fillBoth(guest: Guest): Promise<string[]> {
  return [await fill(guest, guest.memory), await fill(guest, guest.disk)];
}
