import { type CapsuleSize, type CapsuleState, canTransition, WrennError } from "@wrenn/contracts";
import type { GuestAgent } from "../guest/guest-agent.ts";
import type { BootManifest } from "../templates/boot-manifest.ts";
import type { Machine } from "../vmm/vmm.ts";

/** What runs for a capsule, and what has to be released when it ends. */
export interface CapsuleResources {
  readonly machine: Machine;
  readonly guest: GuestAgent;
  readonly stack: AsyncDisposableStack;
}

export interface CapsuleRequest {
  readonly id: string;
  readonly generation: bigint;
  readonly template: string;
  readonly size: CapsuleSize;
}

/** A capsule as this host knows it. Its state only moves along the capsule state table. */
export class Capsule {
  readonly request: CapsuleRequest;
  #state: CapsuleState = "starting";
  #reason = "";
  #revision = 1n;
  #resources: CapsuleResources | undefined;
  #manifest: BootManifest | undefined;
  #startedAt: Date | undefined;

  constructor(request: CapsuleRequest) {
    this.request = request;
  }

  get state(): CapsuleState {
    return this.#state;
  }

  /** Machine-readable reason of `error`; empty otherwise. */
  get reason(): string {
    return this.#reason;
  }

  /** Grows with every change that this host observes. */
  get revision(): bigint {
    return this.#revision;
  }

  get startedAt(): Date | undefined {
    return this.#startedAt;
  }

  /** The boot snapshot that it was created from, once that is known. */
  get manifest(): BootManifest | undefined {
    return this.#manifest;
  }

  get machine(): Machine | undefined {
    return this.#resources?.machine;
  }

  /** The guest agent. @throws {WrennError} `invalid_state` unless the capsule runs. */
  get guest(): GuestAgent {
    if (this.#state === "running" && this.#resources) return this.#resources.guest;
    throw new WrennError("invalid_state", `capsule ${this.request.id} is ${this.#state}, not running`);
  }

  /** Takes over what runs for it. */
  run(manifest: BootManifest, resources: CapsuleResources): void {
    this.#move("running");
    this.#manifest = manifest;
    this.#resources = resources;
    this.#startedAt = new Date();
  }

  /** Records why it cannot go on. Its resources stay until {@link release}. */
  fail(reason: string): void {
    this.#move("error");
    this.#reason = reason;
  }

  /** Begins to end it; true unless that has begun already. */
  stop(): boolean {
    if (!canTransition(this.#state, "stopping")) return false;
    this.#move("stopping");
    return true;
  }

  /** Releases machine, network and disk. Safe to call again. */
  async release(): Promise<void> {
    const resources = this.#resources;
    this.#resources = undefined;
    await resources?.stack.disposeAsync();
  }

  #move(to: CapsuleState): void {
    if (!canTransition(this.#state, to)) {
      throw new WrennError(
        "invalid_state",
        `capsule ${this.request.id} cannot go from ${this.#state} to ${to}`,
      );
    }
    this.#state = to;
    this.#revision += 1n;
  }
}
