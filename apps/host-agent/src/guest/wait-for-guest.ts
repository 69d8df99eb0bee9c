import { setTimeout as delay } from "node:timers/promises";
import { WrennError } from "@wrenn/contracts";
import type { Machine } from "../vmm/vmm.ts";
import type { GuestAgent } from "./guest-agent.ts";

const attemptMs = 500;
const pauseMs = 50;

/**
 * Waits until the guest agent of a booting machine answers. A kernel that boots sends no event to its host, so
 * this asks; only boots of templates wait here, never a create.
 *
 * @returns version of the guest agent.
 */
export async function waitForGuest(
  guest: GuestAgent,
  machine: Machine,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<string> {
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  const gone = machine.exited.then(({ lastWords }) => {
    throw new WrennError(
      "image_corrupt",
      `the machine ended while it booted: ${lastWords || "it said nothing"}`,
    );
  });
  return await Promise.race([poll(guest, deadline, signal), gone]);
}

async function poll(guest: GuestAgent, deadline: AbortSignal, signal: AbortSignal): Promise<string> {
  while (!deadline.aborted) {
    const attempt = AbortSignal.any([deadline, AbortSignal.timeout(attemptMs)]);
    const version = await guest.health(attempt).catch(() => undefined);
    if (version !== undefined) return version;
    await delay(pauseMs, undefined, { signal: deadline }).catch(() => {});
  }
  signal.throwIfAborted();
  throw new WrennError("image_corrupt", "the guest agent did not answer");
}
