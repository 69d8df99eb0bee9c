import { setTimeout as delay } from "node:timers/promises";
import { freeMebibytes } from "../disk-space.ts";
import type { Halt, Machine } from "../vmm/vmm.ts";
import type { Capsule } from "./capsule.ts";
import type { HostParts } from "./host-parts.ts";

/** Space from which a guest that was halted goes on: what one writes in a few seconds. */
const enoughMib = 128;
const lookEveryMs = 1_000;

/**
 * Says so when the host's disk has no room for what a guest writes, and lets the guest go on when there is room again. A
 * file system tells nobody that it has room again, so this looks, as long as a guest is halted.
 */
export function watchHalts(capsule: Capsule, machine: Machine, parts: HostParts): void {
  let waiting = false;
  const halted = async (halt: Halt): Promise<void> => {
    if (waiting) return;
    waiting = true;
    parts.logger.error({ halt }, "a guest is halted");
    const detail = "the guest has stopped until the host's disk has room for what it writes";
    explain(capsule, machine, { reason: halt, detail });
    while (machine.halt && (await isSpace(machine, parts))) await machine.goOn();
    waiting = false;
    if (capsule.reason === halt) explain(capsule, machine);
    parts.logger.info("a guest that was halted goes on");
  };
  const begin = (halt: Halt) => {
    halted(halt).catch((err: unknown) => {
      waiting = false;
      if (capsule.machine === machine) parts.logger.error({ err }, "a halted guest does not go on");
    });
  };
  const listening = machine.onHalt(begin);
  void machine.exited.then(() => listening[Symbol.dispose]());
  // One that was adopted may have been halted before.
  if (machine.halt) begin(machine.halt);
}

/** Waits until there is space. @throws when the machine has ended or the agent does. */
async function isSpace(machine: Machine, { layout, signal }: HostParts): Promise<boolean> {
  const ended = new AbortController();
  void machine.exited.then(() => ended.abort(new Error("the machine has ended")));
  const until = AbortSignal.any([signal, ended.signal]);
  do await delay(lookEveryMs, undefined, { signal: until });
  while ((await freeMebibytes(layout.layers)) < enoughMib);
  return true;
}

/** Only of a machine that is still the capsule's. */
function explain(
  capsule: Capsule,
  machine: Machine,
  why: { reason: string; detail: string } | undefined = undefined,
): void {
  if (capsule.machine === machine) capsule.move({ step: "remark", ...why });
}
