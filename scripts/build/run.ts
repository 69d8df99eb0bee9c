import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** Runs a program to its end; what it printed is part of the error when it fails, and otherwise the answer. */
export async function run(command: string, args: readonly string[], cwd?: string): Promise<string> {
  return (await execute(command, args, { cwd })).stdout.trim();
}
