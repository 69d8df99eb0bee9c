import { type Finding, isFinding } from "@wrenn/contracts";
import { CommandFailed, runCommand } from "@wrenn/daemon";
import { programCommand } from "../../platform/program.ts";
import type { CheckContext } from "../check.ts";

/** What only the agent knows: it is asked, as a program, how it would run capsules here. */
export async function checkAgent({ config, env, signal }: CheckContext): Promise<readonly Finding[]> {
  const { command, args } = programCommand("wrenn-agent");
  const environment = { ...env, WRENN_DIR: config.wrennDir };
  try {
    const { stdout } = await runCommand(command, [...args, "probe"], { env: environment, signal });
    const { findings } = JSON.parse(stdout) as { findings: unknown };
    if (Array.isArray(findings) && findings.every(isFinding)) return findings;
    return [unusable("wrenn-agent is of another version: its answer is not understood")];
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof CommandFailed)) throw error;
    return [unusable(error.stderr.trim().replace(/^error: /, "") || error.message)];
  }
}

function unusable(detail: string): Finding {
  return { name: "host agent", status: "failing", detail, cure: "mend what it says; then run this again" };
}
