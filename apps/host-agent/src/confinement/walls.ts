import type { CapsuleSize } from "@wrenn/contracts";
import { Cgroups } from "./cgroups.ts";
import { type Command, confine } from "./confine.ts";
import type { Confiner, HandedOver, Place } from "./confiner.ts";
import { Handover } from "./handover.ts";
import { Jail } from "./jail.ts";

/**
 * Tasks and descriptors of one monitor: a thread for each processor, up to 64 for the disk, and a few more; a
 * descriptor for each file and for each event of a device.
 */
const maxTasks = 256;
const maxOpenFiles = 256;

export interface WallsOptions {
  /** Tells this agent from another on the same machine. */
  readonly instance: string;
  /**
   * Directory of this agent alone, on the file system of the machines' disks, through which files reach machines that
   * run. Without one, none do.
   */
  readonly handoverDir?: string;
}

/** Memory of a monitor beside its guest's: translated code, buffers, page tables. */
const overheadMib = 256;

/** What every machine of this agent is kept in. Machines that run need none of it any more. */
export class Walls implements Confiner {
  readonly missing: readonly string[];
  readonly #jail: Jail;
  readonly #handover: Handover | undefined;
  readonly #cgroups: Cgroups | undefined;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    jail: Jail,
    handover: Handover | undefined,
    cgroups: Awaited<ReturnType<typeof Cgroups.open>>,
    stack: AsyncDisposableStack,
  ) {
    this.#jail = jail;
    this.#handover = handover;
    this.#cgroups = cgroups instanceof Cgroups ? cgroups : undefined;
    this.missing =
      cgroups instanceof Cgroups ? [] : [`no limits on memory and processors: ${cgroups.unavailable}`];
    this.#stack = stack;
  }

  static async open({ instance, handoverDir }: WallsOptions, signal: AbortSignal): Promise<Walls> {
    await using stack = new AsyncDisposableStack();
    const handover = handoverDir === undefined ? undefined : await Handover.open(handoverDir);
    const jail = stack.use(await Jail.open(handoverDir, signal));
    const cgroups = await Cgroups.open(instance);
    if (cgroups instanceof Cgroups) stack.use(cgroups);
    return new Walls(jail, handover, cgroups, stack.move());
  }

  async confine(program: Command, place: Place, size: CapsuleSize, fileBytes: number): Promise<Command> {
    const memoryMib = size.memoryMib + overheadMib;
    const cpuWeight = 100 * size.vcpus;
    const cgroup = await this.#cgroups?.make(groupOf(place), { memoryMib, tasks: maxTasks, cpuWeight });
    const limits = { fileBytes, threads: maxTasks, openFiles: maxOpenFiles };
    const { uid, namespacePath } = place;
    return confine(program, { uid, namespacePath, jail: this.#jail, limits, cgroup });
  }

  async handOver(path: string, place: Place, access: "read" | "write"): Promise<HandedOver> {
    if (!this.#handover) throw new RangeError("these walls have no directory to hand files over in");
    return await this.#handover.handOver(path, place, access);
  }

  async release(place: Place): Promise<void> {
    await this.#cgroups?.remove(groupOf(place));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

function groupOf(place: Place): string {
  return `slot-${place.index}`;
}
