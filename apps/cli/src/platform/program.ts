import { join } from "node:path";

/** A daemon of the platform, run as a process of its own. */
export type ProgramName = "wrenn-cp" | "wrenn-agent";

const sources: Readonly<Record<ProgramName, string>> = {
  "wrenn-cp": "../../../control-plane/src/main.ts",
  "wrenn-agent": "../../../host-agent/src/main.ts",
};

/** Command and arguments that run a daemon from source, with the Node that runs this program. */
export function programCommand(name: ProgramName): { command: string; args: string[] } {
  return { command: process.execPath, args: [join(import.meta.dirname, sources[name])] };
}
