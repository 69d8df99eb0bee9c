import { WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import { findProcesses } from "../processes/find.ts";
import { endProcess } from "../processes/identity.ts";
import { maxSlots } from "./addresses.ts";
import type { HostRules } from "./host-rules.ts";
import { makeSlot, type NetworkSlot, namespaceExists, removeSlot, slotOf } from "./slot.ts";
import type { SlotRegister } from "./slot-register.ts";

/** Slots made ahead: one takes some fifty milliseconds, which a create does not wait for. */
const readyTarget = 4;

export interface SlotPoolOptions {
  readonly register: SlotRegister;
  readonly rules: HostRules;
  readonly nameserver: string;
  readonly logger: Logger;
  /** Slots of an earlier life that are taken. */
  readonly taken?: readonly NetworkSlot[];
  /** Slots of an earlier life that nothing uses: removed, with whatever runs in them. */
  readonly orphans?: readonly NetworkSlot[];
}

/**
 * The network slots of this agent. A slot serves one machine and is then removed: nothing of it is carried on. Slots
 * that are taken outlive the agent, and so do the rules that they are behind.
 */
export class SlotPool implements AsyncDisposable {
  readonly #options: SlotPoolOptions;
  readonly #stop = new AbortController();
  readonly #ready: NetworkSlot[] = [];
  readonly #taken: Set<number>;
  #refilling: Promise<void> = Promise.resolve();
  #nextIndex = 0;

  private constructor(options: SlotPoolOptions) {
    this.#options = options;
    this.#taken = new Set(options.taken?.map(({ index }) => index));
  }

  /** Removes orphans and starts to make slots, in the background. */
  static open(options: SlotPoolOptions): SlotPool {
    const pool = new SlotPool(options);
    pool.#refilling = pool.#removeOrphans();
    pool.#refill();
    return pool;
  }

  /** Slots that can be taken at once. */
  get readyCount(): number {
    return this.#ready.length;
  }

  /** Slots that machines use. */
  get takenCount(): number {
    return this.#taken.size;
  }

  /** Takes a slot; the caller gives it back with {@link release}. */
  async acquire(signal: AbortSignal): Promise<NetworkSlot> {
    const ready = this.#ready.shift();
    this.#refill();
    const slot = ready ?? (await this.#make(AbortSignal.any([signal, this.#stop.signal])));
    this.#taken.add(slot.index);
    return slot;
  }

  /** Removes a slot whose machine has ended. One that is gone already is fine. */
  async release(slot: NetworkSlot): Promise<void> {
    await this.#options.rules.dismiss(slot);
    await removeSlot(slot);
    await this.#options.register.release(slot.index);
    this.#taken.delete(slot.index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#refilling;
    for (const slot of this.#ready.splice(0)) await this.release(slot);
    if (this.#taken.size === 0) await this.#options.rules.remove();
  }

  async #removeOrphans(): Promise<void> {
    const { orphans = [], logger } = this.#options;
    for (const slot of orphans) {
      try {
        const { namespacePath, uid } = slot;
        await Promise.all((await findProcesses({ namespacePath, uid })).map(endProcess));
        await this.release(slot);
        logger.info({ slot: slot.index }, "removed a network slot that nothing uses");
      } catch (err) {
        logger.error({ err, slot: slot.index }, "cannot remove a network slot");
      }
    }
  }

  #refill(): void {
    this.#refilling = this.#refilling.then(async () => {
      while (this.#ready.length < readyTarget && !this.#stop.signal.aborted) {
        try {
          this.#ready.push(await this.#make(this.#stop.signal));
        } catch (error) {
          if (!this.#stop.signal.aborted)
            this.#options.logger.error({ err: error }, "cannot make a network slot");
          return;
        }
      }
    });
  }

  async #make(signal: AbortSignal): Promise<NetworkSlot> {
    await using stack = new AsyncDisposableStack();
    const slot = await this.#claim();
    stack.defer(() => this.#options.register.release(slot.index));
    stack.defer(() => removeSlot(slot));
    await makeSlot(slot, this.#options.nameserver, signal);
    await this.#options.rules.admit(slot, signal);
    stack.move();
    return slot;
  }

  /** Takes the next index that no agent has and whose namespace is not somebody else's. */
  async #claim(): Promise<NetworkSlot> {
    const { register, logger } = this.#options;
    for (let tried = 0; tried < maxSlots; tried++) {
      const slot = slotOf(this.#nextIndex);
      this.#nextIndex = (this.#nextIndex + 1) % maxSlots;
      if (!(await register.claim(slot.index))) continue;
      if (!(await namespaceExists(slot))) return slot;
      logger.warn({ namespace: slot.namespace }, "a namespace of this name is not ours; passing over it");
      await register.release(slot.index);
    }
    throw new WrennError("host_unavailable", `all ${maxSlots} network slots of this host are taken`);
  }
}
