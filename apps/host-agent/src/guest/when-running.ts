import { WrennError } from "@wrenn/contracts";
import type { Machine } from "../vmm/vmm.ts";
import type { GuestAgent } from "./guest-agent.ts";
import { waitForGuest } from "./wait-for-guest.ts";

/** What somebody does first in the guest of a restored machine. */
export interface FirstCall {
  readonly guest: GuestAgent;
  /** Network of the machine's driver. */
  readonly network: "slot" | "passt" | "none";
  /** Longest wait for the guest to answer at all. */
  readonly timeoutMs: number;
  readonly call: () => Promise<void>;
}

/**
 * Does something in the guest of a machine that is being restored, as soon as it runs.
 *
 * @throws {WrennError} `agent_error` when the machine ends before that is done.
 */
export async function whenRunning(
  machine: Machine,
  { guest, network, timeoutMs, call }: FirstCall,
  signal: AbortSignal,
): Promise<void> {
  const gone = machine.exited.then(({ lastWords }) => {
    throw new WrennError(
      "agent_error",
      `the machine ended while it started: ${lastWords || "it said nothing"}`,
    );
  });
  // Not before the guest runs: QEMU may drop a packet that comes while it loads, and TCP tries again a second later.
  const called = machine.started.then(async () => {
    // Passt tries once to reach a guest that it has not heard of yet, so the first to call it must be content with that.
    if (network === "passt") await waitForGuest(guest, machine, timeoutMs, signal);
    await call();
  });
  await Promise.race([called, gone]);
}
