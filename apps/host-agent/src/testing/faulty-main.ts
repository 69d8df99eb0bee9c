import { runMain } from "@wrenn/daemon";
import type { JournalObserver } from "../journal/journal.ts";
import { agentProgram } from "../program.ts";

/**
 * The agent, ended like a crash would at one step: `WRENN_TEST_FAULT=before:slot` when it is about to note that it has
 * a slot, `after:release:disk` when it has noted that it lets go of the disk. With `WRENN_TEST_FAULT_FROM=take_over`
 * only once it has noted such a step. For tests; no program contains it.
 */
const fault = process.env.WRENN_TEST_FAULT ?? "";
let from = process.env.WRENN_TEST_FAULT_FROM ?? "";

const crash: JournalObserver = (when, _capsuleId, step) => {
  const name = step.step === "release" ? `release:${step.holding}` : step.step;
  if (name === from) from = "";
  if (from === "" && `${when}:${name}` === fault) process.kill(process.pid, "SIGKILL");
};

void runMain(() => agentProgram(crash));
