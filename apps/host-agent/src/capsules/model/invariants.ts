import { canBecome } from "@wrenn/contracts";
import { expect } from "vitest";
import type { Seen } from "./calls.ts";
import type { Expected } from "./expected.ts";
import type { HostUnderTest } from "./host-under-test.ts";
import { storageProblems } from "./storage.ts";

/** The agent and its directory are what the model says. */
export async function compare(expected: Expected, host: HostUnderTest): Promise<void> {
  await expect.poll(() => statesOf(host), poll).toEqual(expectedStates(expected));
  const offered = [...expected.snapshots.keys()].sort();
  expect((await host.agent.snapshots()).sort()).toEqual(offered);
  for (const seen of await host.agent.see()) note(expected, seen);

  const running = expected.capsules.filter(({ state }) => state === "running");
  for (const { id, contents } of running) {
    const { memory, disk } = await host.contents(id);
    if (!memory.equals(contents.memory)) throw new Error(`the memory of ${id} is another`);
    if (!disk.equals(contents.disk)) throw new Error(`the disk of ${id} is another`);
  }
  await expect.poll(() => host.runDirs(), poll).toEqual(running.map(({ id }) => id).sort());
  expect(await host.journals()).toEqual(expected.capsules.map(({ id }) => id).sort());
  await expect.poll(() => storageProblems(host.layout, offered), poll).toEqual([]);
}

/** Most of what is waited for is there already, and the rest is soon. */
const poll = { timeout: 10_000, interval: 5 };

async function statesOf(host: HostUnderTest): Promise<Record<string, string>> {
  const seen = await host.agent.see();
  return Object.fromEntries(
    seen.map(({ id, state, generation }) => [id, `${state} at generation ${generation}`]),
  );
}

function expectedStates(expected: Expected): Record<string, string> {
  const { capsules } = expected;
  return Object.fromEntries(
    capsules.map(({ id, state, generation }) => [id, `${state} at generation ${generation}`]),
  );
}

/** What was observed grows, and a change of state is one that the table knows. */
function note(expected: Expected, { id, state, revision }: Seen): void {
  const before = expected.get(id);
  if (!before) return;
  expect(revision).toBeGreaterThanOrEqual(before.revision);
  expect(canBecome(before.state, state)).toBe(true);
  expected.change(id, { revision });
}
