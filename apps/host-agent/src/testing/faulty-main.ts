import { runMain } from "@wrenn/daemon";
import type { JournalObserver } from "../journal/journal.ts";
import { agentProgram } from "../program.ts";

/**
 * The agent, ended like a crash would at one step: `WRENN_TEST_FAULT=before:slot` when it is about to note that it has
 * a slot, `after:release:disk` when it has noted that it lets go of the disk. With `WRENN_TEST_FAULT_FROM=take_over`
 * only once it has noted such a step. One that serves is told its fault by the message `{ fault }`, which it answers. For
 * tests; no program contains it.
 */
let fault = process.env.WRENN_TEST_FAULT ?? "";
let from = process.env.WRENN_TEST_FAULT_FROM ?? "";

const crash: JournalObserver = (when, _capsuleId, step) => {
  const name = step.step === "release" ? `release:${step.holding}` : step.step;
  if (name === from) from = "";
  if (from === "" && `${when}:${name}` === fault) process.kill(process.pid, "SIGKILL");
};

process.on("message", (message) => {
  if (typeof message !== "object" || message === null || !("fault" in message)) return;
  fault = String(message.fault);
  process.send?.({ armed: fault });
});

void runMain(() => agentProgram(crash));
