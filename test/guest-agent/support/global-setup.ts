import type { TestProject } from "vitest/node";
import { leftoversOf } from "../../support/leftovers.ts";
import { startPlatform } from "../../support/platform-process.ts";
import "./provided.ts";

/**
 * One platform for all suites that want a capsule. `GUEST_AGENT_TARGETS=bare` leaves it, and them, out: that is quick
 * enough for every change of the agent.
 */
export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const names = (process.env.GUEST_AGENT_TARGETS ?? "bare,capsule").split(",");
  const targets = (["bare", "capsule"] as const).filter((name) => names.includes(name));
  project.provide("guestTargets", targets);
  if (!targets.includes("capsule")) {
    project.provide("guestPlatform", undefined);
    return undefined;
  }
  await using stack = new AsyncDisposableStack();
  const { url, apiKey, wrennDir } = await startPlatform(stack);
  project.provide("guestPlatform", { url, apiKey, wrennDir });
  const owned = stack.move();
  return async () => {
    await owned.disposeAsync();
    const left = await leftoversOf(wrennDir);
    if (left.length > 0) throw new Error(`left behind after Ctrl-C:\n${left.join("\n")}`);
  };
}
