import { WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
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
}

/** The network slots of this agent. A slot serves one machine and is then removed: nothing of it is carried on. */
export class SlotPool implements AsyncDisposable {
  readonly #options: SlotPoolOptions;
  readonly #stop = new AbortController();
  readonly #ready: NetworkSlot[] = [];
  #refilling: Promise<void> = Promise.resolve();
  #nextIndex = 0;

  private constructor(options: SlotPoolOptions) {
    this.#options = options;
  }

  /** Removes what an earlier life of this agent left behind, and starts to make slots. */
  static async open(options: SlotPoolOptions): Promise<SlotPool> {
    for (const index of await options.register.mine()) {
      await removeSlot(slotOf(index));
      await options.register.release(index);
      options.logger.info({ slot: index }, "removed a network slot of an earlier life");
    }
    const pool = new SlotPool(options);
    pool.#refill();
    return pool;
  }

  /** Takes a slot; the caller gives it back with {@link release}. */
  async acquire(signal: AbortSignal): Promise<NetworkSlot> {
    const ready = this.#ready.shift();
    this.#refill();
    return ready ?? (await this.#make(AbortSignal.any([signal, this.#stop.signal])));
  }

  /** Removes a slot whose machine has ended. */
  async release(slot: NetworkSlot): Promise<void> {
    await this.#options.rules.dismiss(slot);
    await removeSlot(slot);
    await this.#options.register.release(slot.index);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#refilling;
    for (const slot of this.#ready.splice(0)) await this.release(slot);
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
