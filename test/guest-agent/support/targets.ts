import { afterAll, beforeAll, describe, inject } from "vitest";
import { startBare } from "./bare.ts";
import { startCapsule } from "./capsule.ts";
import { binaryWire, type Guest, jsonWire, type TargetName, type Wire } from "./guest.ts";
import "./provided.ts";

/** A guest of a target, which ends with the stack. A bare agent gets the options; a capsule's has its own. */
export async function startGuest(
  stack: AsyncDisposableStack,
  target: TargetName,
  bareOptions: readonly string[] = [],
): Promise<Guest> {
  const platform = inject("guestPlatform");
  if (target === "bare") return await startBare(stack, bareOptions);
  if (!platform) throw new Error("no platform was started for capsules");
  return await startCapsule(stack, platform);
}

/**
 * Defines the same tests for a bare guest agent and for the one of a capsule. Each file has a guest of its own of either
 * kind, started before its first test; what is under test must not depend on what an earlier test left.
 */
export function eachTarget(
  define: (guest: () => Guest) => void,
  only?: TargetName,
  bareOptions?: readonly string[],
): void {
  for (const target of only ? [only] : (["bare", "capsule"] as const)) {
    describe.skipIf(!inject("guestTargets").includes(target))(target, () => {
      const stack = new AsyncDisposableStack();
      let guest: Guest | undefined;
      beforeAll(async () => {
        guest = await startGuest(stack, target, bareOptions);
      });
      afterAll(() => stack.disposeAsync());
      define(() => {
        if (!guest) throw new Error("a guest is there only while tests run");
        return guest;
      });
    });
  }
}

/** Defines the same tests for both codecs. */
export function eachWire(define: (wire: Wire) => void): void {
  describe.each([jsonWire, binaryWire])("$name", define);
}
