import type { TestProject } from "vitest/node";
import "./support/provided.ts";
import { leftoversOf } from "./support/leftovers.ts";
import { startPlatform } from "./support/platform-process.ts";

/** One platform for all suites of this project. When they are done, Ctrl-C must leave nothing of it. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  await using stack = new AsyncDisposableStack();
  const platform = await startPlatform(stack);
  project.provide("platform", { url: platform.url, apiKey: platform.apiKey, wrennDir: platform.wrennDir });
  const owned = stack.move();
  return async () => {
    await owned.disposeAsync();
    const left = await leftoversOf(platform.wrennDir);
    if (left.length > 0) throw new Error(`left behind after Ctrl-C:\n${left.join("\n")}`);
  };
}
