import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { isBuiltProgram } from "@wrenn/daemon";

/** A daemon of the platform, run as a process of its own. */
export type ProgramName = "wrenn-cp" | "wrenn-agent";

const sources: Readonly<Record<ProgramName, string>> = {
  "wrenn-cp": "../../../control-plane/src/main.ts",
  "wrenn-agent": "../../../host-agent/src/main.ts",
};

/**
 * Command and arguments that run a daemon: the executable beside this one, or from source with the Node that runs
 * this program.
 */
export function programCommand(name: ProgramName): { command: string; args: string[] } {
  if (!isBuiltProgram) return { command: process.execPath, args: [join(import.meta.dirname, sources[name])] };
  const command = join(dirname(process.execPath), name);
  if (!existsSync(command)) {
    throw new WrennError("config_invalid", `${command} does not exist; wrenn needs ${name} beside it`);
  }
  return { command, args: [] };
}
