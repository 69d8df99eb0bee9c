import { Signal } from "@wrenn/contracts/process";
import { expect } from "vitest";
import { type AgentState, restingState } from "../agent-state.ts";
import { exchange } from "../exchange.ts";
import type { Guest } from "../guest.ts";
import { byPid, connect, start } from "../processes.ts";
import { victim } from "./values.ts";

/** Promise of docs/guest-agent.md for an agent at rest. */
const toleranceKib = 3 * 1024;

/** What is there while nothing goes on. */
export interface Rest extends AgentState {
  readonly processes: number;
}

/**
 * Leaves nothing to be harmed but what is in memory: whatever is asked of this computer as root, it goes on to be one. And
 * gives it a token that signs, and processes that take input.
 */
export async function prepare(guest: Guest): Promise<void> {
  const body = JSON.stringify({ accessToken: guest.token });
  const answer = await exchange(guest, "/init", { method: "POST", body });
  expect(answer.status).toBe(204);
  await guest.output("mount -t tmpfs tmpfs /root; mount -o remount,bind,ro /dev; mount -o remount,bind,ro /");
  await guest.output("ln -s /tmp /tmp/link; mkdir /tmp/a; echo b >/tmp/b");
}

/** Lets requests have processes to deal with, for as long as they like. */
export async function offerVictims(guest: Guest): Promise<void> {
  for (const pty of [{ size: { cols: 80, rows: 24 } }, undefined]) {
    const followed = start(guest, ["cat"], { stdin: true, tag: victim, ...(pty ? { pty } : {}) });
    await followed.pid;
  }
}

/** Ends what was started and waits until nothing but the agent is there. */
export async function rest(guest: Guest): Promise<Rest> {
  const { processes } = await guest.processes.list({});
  for (const { pid } of processes) {
    const followed = connect(guest, pid);
    await guest.processes.sendSignal({ process: byPid(pid), signal: Signal.SIGKILL });
    await followed.ended;
  }
  return {
    ...(await restingState(guest)),
    processes: Number(await guest.output("ls -d /proc/[0-9]* | wc -l")),
  };
}

/** Expects everything to be as it was; memory nearly so. */
export function expectSame(now: Rest, before: Rest): void {
  expect({ ...now, rssKib: 0 }).toEqual({ ...before, rssKib: 0 });
  expect(now.rssKib).toBeLessThanOrEqual(before.rssKib + toleranceKib);
}
